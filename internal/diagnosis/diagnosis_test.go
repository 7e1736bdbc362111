package diagnosis

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// unpack returns the files of an archive, by name.
func unpack(t *testing.T, packed []byte) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	require.NoError(t, err)
	out := map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		assert.Equal(t, int64(0o600), h.Mode)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		out[h.Name] = string(text)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	quoted, err := json.Marshal(map[string]string{"key": secret, "next": "kept"})
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, Write(&out, "top", time.Unix(1, 0), []File{
		{"pem.txt", []byte("before\n" + secret + "after\n")},
		{"quoted.json", quoted},
		{"cut.txt", []byte("before\n" + secret[:len(secret)/2])},
		{"long.txt", []byte(strings.Repeat("a line\n", MaxFile))},
	}))
	files := unpack(t, out.Bytes())
	assert.Equal(t, "before\n[redacted]\nafter\n", files["top/pem.txt"])
	assert.Contains(t, files["top/quoted.json"], `"next":"kept"`)
	assert.Equal(t, "before\n[redacted]", files["top/cut.txt"])
	assert.LessOrEqual(t, len(files["top/long.txt"]), MaxFile)
	assert.True(t, strings.HasPrefix(files["top/long.txt"], "…\na line\n"), "cut at the beginning, between two lines")
	for name, text := range files {
		for _, line := range strings.Split(secret, "\n")[1:3] {
			assert.NotContains(t, text, line, name)
		}
	}

	out.Reset()
	var many []File
	for n := range 2 * MaxFiles {
		many = append(many, File{fmt.Sprintf("%d.txt", n), bytes.Repeat([]byte("x\n"), MaxFile)})
	}
	require.NoError(t, Write(&out, "top", time.Unix(1, 0), many))
	files = unpack(t, out.Bytes())
	all := 0
	for _, text := range files {
		all += len(text)
	}
	assert.LessOrEqual(t, len(files), MaxFiles+1)
	assert.LessOrEqual(t, all, MaxAll+MaxFile)
	assert.Contains(t, files["top/LEFT-OUT.txt"], "79.txt")
}

// TestJournal: what clients asked of etcd is taken out of what etcd logs, whatever it logs; what
// etcd says about itself stays. The lines are etcd's own, with the marker in the place of a key or
// a value.
func TestJournal(t *testing.T) {
	t.Parallel()
	const marker = "users-secret"
	for name, line := range map[string]string{
		"a slow request": `{"level":"warn","ts":"2026-11-27T07:00:00.0Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"1s","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"users-secret\" ","response":"range_response_count:1 size:30"}`,
		"its steps":      `{"level":"info","ts":"2026-11-27T07:00:00.0Z","caller":"traceutil/trace.go:172","msg":"trace[1] range","detail":"{range_begin:users-secret; range_end:; }","duration":"1s","start":"…","steps":["trace[1] 'x users-secret'  (duration: 1s)"],"step_count":1}`,
		"at debug":       `{"level":"debug","ts":"2026-11-27T07:00:00.0Z","msg":"request stats","remote":"127.0.0.1:1","response type":"/etcdserverpb.KV/Put","request count":1,"request size":30,"response count":0,"response size":28,"request content":"key:\"users-secret\" value_size:3 "}`,
		"who logs in":    `{"level":"info","ts":"2026-11-27T07:00:00.0Z","msg":"added a user","user-name":"users-secret"}`,
		"a role":         `{"level":"info","ts":"2026-11-27T07:00:00.0Z","msg":"granted","role-name":"users-secret","permission-key":"x"}`,
		"nested":         `{"level":"info","ts":"2026-11-27T07:00:00.0Z","msg":"x","outer":[{"key":"users-secret"},{"inner":{"range-end":"users-secret"}}]}`,
		"cut off":        `{"level":"warn","ts":"2026-11-27T07:00:00.0Z","msg":"apply request took too long","request":"key:\"users-secr`,
		"and cut":        `{"level":"warn"} {"request":"users-secret"`,
	} {
		got := string(Journal([]byte(line + "\n")))
		assert.NotContains(t, got, marker[:10], name)
		assert.Contains(t, got, redacted, name)
		assert.Equal(t, 1, strings.Count(got, "\n"), name)
	}
	plain := "systemd: started\n" +
		`{"level":"info","ts":"2026-11-27T07:00:00.0Z","msg":"became leader","caller":"raft/raft.go:1","max-request-bytes":1572864}` + "\n"
	assert.Equal(t, "systemd: started\n"+
		`{"level":"info","ts":"2026-11-27T07:00:00.0Z","msg":"became leader","caller":"raft/raft.go:1","max-request-bytes":1572864}`+"\n",
		string(Journal([]byte(plain))))
	assert.JSONEq(t, `{"level":"info"}`, string(Journal([]byte(`{"level":"info"}`))), "nothing but the level")
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"level":"info","request":"x"}` + "\nplain\n{"))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for line := range bytes.Lines(Journal(text)) {
			if bytes.HasPrefix(line, []byte("{")) {
				assert.True(t, json.Valid(line), "%q", line)
			}
		}
	})
}

// TestSummary: the page shows members, reasons, certificates and hooks. Names are only text in it,
// whatever they are, and it loads nothing from outside.
func TestSummary(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`
	health, err := json.Marshal(map[string]any{
		"health": "degraded", "summary": "2/3 voters " + evil, "role": "member",
		"reasons": []any{
			map[string]any{"kind": "zone-alone", "health": "healthy", "text": "in zone " + evil, "remedy": evil},
			map[string]any{"kind": "member-silent", "health": "degraded", "text": "no answer here from etcd/2"},
		},
		"cluster": map[string]any{"id": "c1", "leader": evil, "voters": 3, "quorum": 2, "margin": 0},
		"members": []any{
			map[string]any{"unit": evil, "answers": true, "ready": true, "version": evil, "db-size": 1 << 30, "db-in-use": 1 << 29, "quota": 2 << 30, "alarms": []string{evil}},
			map[string]any{"name": evil, "answers": false, "errors": []string{evil}},
		},
		"disk": map[string]any{"file-system": evil, "free": 1 << 40, "p99-seconds": 0.003},
	})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, Summary(&out, Facts{
		Made: time.Unix(0, 0), Unit: evil, Report: health, Files: []string{evil},
		Certificates: []Certificate{{File: evil, Issuer: evil, NotAfter: time.Unix(1, 0)}, {File: "x", Problem: evil}},
		Hooks: []Hook{
			{Name: evil, Began: 1000, Took: 20, Lines: []Line{{After: 1, Level: "INFO", Text: "step do=" + evil}}},
			{Name: "config-changed", Began: 5000, Took: 2000, Lines: []Line{{After: 1, Level: evil, Text: "step failed"}}},
		},
	}))
	page := out.String()
	assert.NotContains(t, page, "<script")
	assert.NotContains(t, page, "<img")
	assert.NotContains(t, page, "ZgotmplZ")
	assert.Contains(t, page, "&lt;script&gt;")
	assert.NotRegexp(t, `(?i)<[a-z]+[^>&]*\s(src|href)=|url\(|@import|https?:`, page)
	assert.Contains(t, page, "default-src 'none'")
	assert.Equal(t, 4, strings.Count(page, "<title>")-1, "a mark for each hook and each step")
	assert.Less(t, strings.Index(page, "What is wrong"), strings.Index(page, "Members"), "what is wrong comes first")
	assert.Less(t, strings.Index(page, "no answer here"), strings.Index(page, "Worth knowing"), "what is worth knowing is apart")
	assert.Contains(t, page, "512 MiB")
	wellFormed(t, page)

	out.Reset()
	require.NoError(t, Summary(&out, Facts{Report: []byte(`{}`)}), "a unit of which nothing is known")
	wellFormed(t, out.String())
	require.Error(t, Summary(&out, Facts{Report: []byte(`[`)}))
}

// TestEntries: the newest hook comes first, with the status that it left or with what failed in it;
// hooks with steps are open, and so is each in which something failed.
func TestEntries(t *testing.T) {
	t.Parallel()
	line := func(level, text string) Line { return Line{Level: level, Text: text} }
	quiet := Hook{Name: "quiet", Lines: []Line{line("INFO", `settled hook=x status="active: 3/3 voters, \"x\"" took=1s`)}}
	busy := Hook{Name: "busy", Lines: []Line{line("INFO", "step do=x"), line("INFO", "settled hook=x steps=1 status=active took=1s")}}
	failed := Hook{Name: "failed", Lines: []Line{line("WARN", "step did not succeed"), line("ERROR", "exit status 1"), line("INFO", "settled status=waiting")}}
	var said []string
	for _, e := range entries([]Hook{failed, busy, busy, busy, busy, quiet}) {
		said = append(said, fmt.Sprintf("%s open=%v failed=%v %s", e.Name, e.Open, e.Failed, e.Said))
	}
	assert.Equal(t, []string{
		`quiet open=false failed=false active: 3/3 voters, "x"`,
		"busy open=true failed=false active", "busy open=true failed=false active", "busy open=true failed=false active",
		"busy open=false failed=false active",
		"failed open=true failed=true step did not succeed",
	}, said)
}

// TestMarks: hooks and steps stand where they belong on a line that has room for the last one.
func TestMarks(t *testing.T) {
	t.Parallel()
	out, axis := marks([]Hook{
		{Began: 1000, Took: 1000, Lines: []Line{{After: 500, Level: "INFO"}}},
		{Began: 5000, Lines: []Line{{Level: "WARN"}}},
	})
	var at []string
	for _, m := range out {
		at = append(at, fmt.Sprintf("%s %d+%d", m.Kind, m.X, m.Wide))
	}
	assert.Equal(t, []string{"step 124+1", "info 0+249", "failed 998+1", "failed 998+2"}, at)
	assert.Equal(t, []int64{1000, 3000, 5000}, axis)
	out, axis = marks(nil)
	assert.Empty(t, out)
	assert.Empty(t, axis)
}

// wellFormed checks that a page's tags match, and that a browser makes of them the elements that
// are written there, in their order: it would move or end those that stand where HTML does not have
// them.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.Entity = true, xml.HTMLEntity
	var written, made []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			written = append(written, token.Name.Local)
		case xml.EndElement:
			written = append(written, "/"+token.Name.Local)
		}
	}
	tree, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		element := n.Type == html.ElementNode && n.Data != "tbody" // which a browser adds
		if element {
			made = append(made, n.Data)
		}
		for c := range n.ChildNodes() {
			walk(c)
		}
		if element {
			made = append(made, "/"+n.Data)
		}
	}
	walk(tree)
	assert.Equal(t, written, made)
}

// TestRecorder: what a hook logs at INFO and above is kept, in bounds; everything is passed on.
func TestRecorder(t *testing.T) {
	t.Parallel()
	var passed bytes.Buffer
	began := time.Now()
	r := NewRecorder(slog.NewTextHandler(&passed, &slog.HandlerOptions{Level: slog.LevelDebug}), began)
	log := slog.New(r)
	log.Debug("quiet")
	_, did := r.Hook("update-status", began, nil)
	assert.False(t, did, "a quiet hook leaves nothing")
	log.Info("step", "do", "start service", "n", 3)
	log.With("unit", "etcd/0").WithGroup("g").Warn(strings.Repeat("long ", 1000))
	for range 2 * maxLines {
		log.Info("again")
	}
	h, did := r.Hook("start", began.Add(1500*time.Millisecond), nil)
	require.True(t, did)
	assert.Equal(t, int64(1500), h.Took)
	assert.Len(t, h.Lines, maxLines)
	assert.Equal(t, `step do="start service" n=3`, h.Lines[0].Text)
	assert.Equal(t, "WARN", h.Lines[1].Level)
	assert.LessOrEqual(t, len(h.Lines[1].Text), maxLine+len("…"))
	assert.Contains(t, passed.String(), "quiet")

	var story []byte
	for n := range 1000 {
		h.Began = int64(n)
		story = Append(story, h)
	}
	assert.LessOrEqual(t, len(story), maxStory)
	hooks := Story(append(story, "half a li"...))
	require.NotEmpty(t, hooks)
	assert.Equal(t, int64(999), hooks[len(hooks)-1].Began, "the oldest go")
}
