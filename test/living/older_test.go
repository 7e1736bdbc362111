package living

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/juju/charm/v12"
)

// older is how etcd 3.6 differs from 3.7 in our sources; one module cannot have both.
var older = map[string][]string{
	"cmd/etcd-charm/command.go": {
		"\t\"time\"\n", "",
		"\tflags.DurationVar(&etcdutl.FlockTimeout, \"timeout\", 10*time.Second,\n" +
			"\t\t\"time to wait to obtain a file lock on db file, 0 to block indefinitely\")\n", "",
	},
	"internal/datadir/log.go": {
		"\t\"google.golang.org/protobuf/proto\"\n", "",
		".GetType()", ".Type",
		".GetCrc()", ".Crc",
		".GetTerm()", ".Term",
		".GetIndex()", ".Index",
		".GetCommit()", ".Commit",
		".GetClusterID()", ".ClusterID",
		".GetNodeID()", ".NodeID",
		".GetNodeId()", ".NodeID",
		".GetVoters()", ".Voters",
		".GetLearners()", ".Learners",
		".GetLearnersNext()", ".LearnersNext",
		".GetConfState()", ".ConfState",
		"proto.Unmarshal(record.Data, &meta)", "meta.Unmarshal(record.Data)",
		"proto.Unmarshal(record.Data, &state)", "state.Unmarshal(record.Data)",
		"proto.Unmarshal(record.Data, &entry)", "entry.Unmarshal(record.Data)",
		"proto.Unmarshal(record.Data, &snapshot)", "snapshot.Unmarshal(record.Data)",
		"proto.Unmarshal(entry.Data, &change)", "change.Unmarshal(entry.Data)",
	},
	"internal/secondlife/recover.go": {
		"\t\"google.golang.org/protobuf/proto\"\n", "",
		".GetTerm()", ".Term",
		".GetIndex()", ".Index",
		"[]*raftpb.Entry", "[]raftpb.Entry",
		"append(more, entry)", "append(more, *entry)",
		"proto.Uint64(index)", "index",
		"proto.Uint64(max(state.GetTerm(), term))", "max(state.Term, term)",
		"proto.Marshal(&raftpb.ConfChange{", "(&raftpb.ConfChange{",
		"raftpb.ConfChangeAddNode.Enum(), NodeId: proto.Uint64(log.MemberID), Context: text,\n\t})", "raftpb.ConfChangeAddNode, NodeID: log.MemberID, Context: text,\n\t}).Marshal()",
		"raftpb.EntryConfChange.Enum(), Term: proto.Uint64(log.Term),", "raftpb.EntryConfChange, Term: log.Term,",
		"Index: proto.Uint64(log.Index + 1),", "Index: log.Index + 1,",
	},
	"internal/host/age.go": {
		"\t\"google.golang.org/protobuf/proto\"\n", "",
		".GetType()", ".Type",
		".GetCrc()", ".Crc",
		".GetTerm()", ".Term",
		".GetIndex()", ".Index",
		"proto.Unmarshal(record.Data, &entry)", "entry.Unmarshal(record.Data)",
		"proto.Unmarshal(record.Data, &snapshot)", "snapshot.Unmarshal(record.Data)",
	},
	"internal/host/cluster.go": {
		"etcdserverpb.KV_Range_FullMethodName", "\"/etcdserverpb.KV/Range\"",
	},
	"internal/host/data.go": {
		"\t\"google.golang.org/protobuf/proto\"\n", "",
		".GetClusterID()", ".ClusterID",
		".GetNodeID()", ".NodeID",
		".GetType()", ".Type",
		".GetCrc()", ".Crc",
		"proto.Unmarshal(record.Data, meta)", "meta.Unmarshal(record.Data)",
	},
	"internal/host/gate.go": {
		".GetClusterID()", ".ClusterID",
		".GetNodeID()", ".NodeID",
	},
	"internal/host/prepared.go": {
		".GetClusterID()", ".ClusterID",
		".GetNodeID()", ".NodeID",
	},
}

// olderCharm makes a charm of these sources, in dir, with the etcd that older/etcd.mod names, the
// minor version before. The rest of it is the archive's.
func olderCharm(ctx context.Context, archive, dir string) error {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	sources, err := os.MkdirTemp("", "older-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sources)
	overlay, err := changed(root, sources)
	if err != nil {
		return err
	}
	read, err := charm.ReadCharmArchive(archive)
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o700), read.ExpandTo(dir))
	}
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", archive, err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -B gobuildid",
		"-modfile", filepath.Join(root, "test", "living", "older", "etcd.mod"), "-overlay", overlay,
		"-o", filepath.Join(dir, "bin", "etcd-charm"), "./cmd/etcd-charm")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build with the older etcd: %w\n%s", err, out)
	}
	return nil
}

// changed writes the sources that differ into dir, with an overlay file for the compiler, and
// returns that file's path.
func changed(root, dir string) (string, error) {
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for name, changes := range older {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		for i := 0; i < len(changes); i += 2 {
			if !strings.Contains(string(text), changes[i]) {
				return "", fmt.Errorf("%s has no %q any more: mend the list of what the older etcd has otherwise", name, changes[i])
			}
		}
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, []byte(strings.NewReplacer(changes...).Replace(string(text))), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, name)] = path
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o600)
}
