package host

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/juju-charms/etcd-charm/internal/diagnosis"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// Bounds of a diagnosis, beside those of its archive.
const (
	keptDiagnoses = 3
	journalLines  = 2000
	hashTime      = 10 * time.Second
	partTime      = 3 * time.Second
)

// diagnose writes an archive of what is known of the unit. What cannot be read is left out, or the
// archive says why it is missing: a unit that needs a diagnosis often cannot answer everything.
func (h *Host) diagnose(ctx context.Context, s operator.Diagnose) error {
	now := h.now().UTC()
	name := h.unit + "-" + now.Format("20060102T150405Z")
	var files []diagnosis.File
	add := func(name string, text []byte) {
		if len(text) > 0 {
			files = append(files, diagnosis.File{Name: name, Text: text})
		}
	}
	for _, f := range s.Files {
		add(f.Name, []byte(f.Text))
	}
	story, _ := readOptional(h.hookLog())
	certificates := h.certificates()
	add("hashes.json", h.hashText(ctx, s.Revision))
	add("certificates.json", asText(certificates))
	add("hooks.log", story)
	for name, path := range map[string]string{
		"settings/etcd.env": h.memberEnv(), "settings/proxy.env": h.proxyEnv(),
		"settings/snapshots.json": h.snapshotConfig(), "settings/" + h.serviceName(): h.unitFile(),
		"fence.json": h.fence(), "disk.json": h.disk(),
	} {
		text, _ := readOptional(path)
		add(name, text)
	}
	add("settings/running.txt", h.runningSettings(ctx))
	add("journal/service.log", h.journalOf(ctx, h.serviceName()))
	add("journal/snapshots.log", h.journalOf(ctx, h.snapshotService()))
	add("metrics.txt", h.metricsText(ctx))
	add("machine.txt", h.machineText())
	slices.SortStableFunc(files, func(a, b diagnosis.File) int {
		return strings.Compare(a.Name, b.Name)
	})

	facts := diagnosis.Facts{
		Made: now, Unit: h.unitName, Report: []byte(s.Report),
		Hooks: diagnosis.Story(story), Certificates: certificates,
	}
	for _, f := range files {
		facts.Files = append(facts.Files, f.Name)
	}
	var page, packed bytes.Buffer
	if err := diagnosis.Summary(&page, facts); err != nil {
		return err
	}
	files = slices.Insert(files, 0, diagnosis.File{Name: "summary.html", Text: page.Bytes()})
	if err := diagnosis.Write(&packed, name, now, files); err != nil {
		return err
	}
	if err := directory(h.diagnoses(), 0o700, h.adminOwner()); err != nil {
		return err
	}
	if err := renameio.WriteFile(
		filepath.Join(h.diagnoses(), name+".tar.gz"), packed.Bytes(), secret,
		renameio.WithTempDir(h.diagnoses()), renameio.WithStaticPermissions(secret),
	); err != nil {
		return fmt.Errorf("cannot write a diagnosis: %w", err)
	}
	for _, old := range h.archives()[:max(len(h.archives())-keptDiagnoses, 0)] {
		_ = os.Remove(old) // the next diagnosis tries again
	}
	return nil
}

// archives returns the diagnoses that are kept, the oldest first.
func (h *Host) archives() []string {
	found, _ := filepath.Glob(filepath.Join(h.diagnoses(), h.unit+"-*.tar.gz"))
	return found // their names begin with a date, so they are in order
}

// lookDiagnosis returns the newest archive.
func (h *Host) lookDiagnosis() operator.Archive {
	all := h.archives()
	if len(all) == 0 {
		return operator.Archive{}
	}
	info, err := os.Lstat(all[len(all)-1])
	if err != nil {
		return operator.Archive{}
	}
	return operator.Archive{Path: all[len(all)-1], Bytes: info.Size()}
}

func asText(v any) []byte {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	return append(text, '\n')
}

// hashText returns what the voters hold at a revision, or why that is not known.
func (h *Host) hashText(ctx context.Context, revision int64) []byte {
	if revision == 0 {
		return []byte("the voters were not asked: one does not answer, or there is too much to read\n")
	}
	ctx, cancel := context.WithTimeout(ctx, hashTime)
	defer cancel()
	if err := h.askHashes(ctx, revision); err != nil {
		return []byte(err.Error() + "\n")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	said := h.hashes[len(h.hashes)-1]
	h.hashes = h.hashes[:len(h.hashes)-1] // these hashes must not enter the decisions of this pass
	type hash struct {
		Member    string `json:"member"`
		Revision  int64  `json:"revision"`
		Compacted int64  `json:"compacted"`
		Hash      string `json:"hash"`
	}
	out := []hash{}
	for _, one := range said {
		out = append(out, hash{
			hexOf(one.MemberID), one.Revision, one.Compacted, strconv.FormatUint(uint64(one.Hash), 16),
		})
	}
	return asText(out)
}

// certificates describes the unit's certificates, by name; it opens no key.
func (h *Host) certificates() []diagnosis.Certificate {
	paths, _ := filepath.Glob(h.tls("*.crt"))
	var out []diagnosis.Certificate
	for _, path := range paths {
		name := filepath.Base(path)
		text, err := regular.Read(path)
		if err != nil {
			out = append(out, diagnosis.Certificate{File: name, Problem: reasonOf(err)})
			continue
		}
		block, rest := pem.Decode(text)
		if block == nil {
			out = append(out, diagnosis.Certificate{File: name, Problem: "is not a certificate"})
		}
		for ; block != nil; block, rest = pem.Decode(rest) {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				out = append(out, diagnosis.Certificate{File: name, Problem: err.Error()})
				continue
			}
			one := diagnosis.Certificate{
				File: name, Subject: cert.Subject.String(), Issuer: cert.Issuer.String(),
				NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, SANs: cert.DNSNames,
			}
			for _, ip := range cert.IPAddresses {
				one.SANs = append(one.SANs, ip.String())
			}
			out = append(out, one)
		}
	}
	return out
}

// runningSettings returns the settings of the live process.
func (h *Host) runningSettings(ctx context.Context) []byte {
	state, err := h.supervisor.state(ctx)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	var out bytes.Buffer
	for _, line := range state.process.env {
		if strings.HasPrefix(line, "ETCD_") || strings.HasPrefix(line, "CHARM_") ||
			strings.HasPrefix(line, "GO") {
			fmt.Fprintln(&out, line)
		}
	}
	return out.Bytes()
}

// journalOf returns the end of a service's journal, without the users' data.
func (h *Host) journalOf(ctx context.Context, service string) []byte {
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	out, err := h.supervisor.run(ctx, "journalctl", "--unit="+service,
		"--lines="+strconv.Itoa(journalLines), "--output=cat", "--no-pager", "--quiet")
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	return diagnosis.Journal(out)
}

// metricsText returns the member's own metrics; their names and labels hold no users' data.
func (h *Host) metricsText(ctx context.Context) []byte {
	env, _ := envLines(h.memberEnv())
	url := localURL(lookup(env, "ETCD_LISTEN_METRICS_URLS"))
	if url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return nil
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	defer ignoreClose(resp.Body)
	// half of it is better than none
	text, _ := io.ReadAll(io.LimitReader(resp.Body, diagnosis.MaxFile))
	return text
}

// machineText returns facts about the machine.
func (h *Host) machineText() []byte {
	var out bytes.Buffer
	for _, name := range []string{
		"/proc/version", "/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo",
		"/proc/pressure/io", "/proc/pressure/memory",
	} {
		text, err := regular.Read(name)
		if err != nil {
			continue
		}
		fmt.Fprintf(&out, "== %s\n%s\n", name, bytes.TrimSpace(text))
	}
	for _, dir := range []string{h.data(), h.snapshots(), h.opt()} {
		all, free, err := fileSystem(dir)
		fmt.Fprintf(&out, "== %s: %d bytes, %d free%s\n",
			dir, all, free, map[bool]string{true: " (cannot be read)"}[err != nil])
	}
	return out.Bytes()
}

// rememberTime bounds how long a hook that has ended waits for its log entry to be written.
const rememberTime = 2 * time.Second

// Remember adds a hook to the log of those that did something, unless nothing is installed. An
// entry that cannot be written is lost: Juju's log has the same.
func (h *Host) Remember(ctx context.Context, hook diagnosis.Hook) {
	ctx, cancel := context.WithTimeout(ctx, rememberTime)
	defer cancel()
	written := make(chan error, 1)
	go func() {
		if !strings.Contains(h.unitName, "/") || !h.leftovers() {
			written <- nil
			return
		}
		story, err := readOptional(h.hookLog())
		if err == nil {
			err = h.write(file{path: h.hookLog(), data: diagnosis.Append(story, hook)})
		}
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			h.logger.DebugContext(ctx, "cannot record what the hook did", "error", err)
		}
	case <-ctx.Done(): // a file system that hangs
	}
}
