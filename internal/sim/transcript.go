package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
)

// TranscriptName is the file in the simulation's directory that Options.Transcript
// writes. Its mode is 0600.
const TranscriptName = "calls.jsonl"

// Call is one call of a hook tool and its answer.
type Call struct {
	Unit, Hook, Tool      string
	Args                  []string
	Stdin, Stdout, Stderr []byte
}

// transcript writes calls to a file. The file stays open to the end of the program, because a call
// may be in progress while the simulation closes.
type transcript struct {
	mu  sync.Mutex
	enc *json.Encoder // nil writes nothing
}

func (s *Sim) openTranscript() (*transcript, error) {
	if !s.opts.Transcript {
		return &transcript{}, nil
	}
	file, err := os.OpenFile(filepath.Join(s.dir, TranscriptName),
		os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &transcript{enc: json.NewEncoder(file)}, nil
}

func (t *transcript) tell(c Call) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.enc == nil {
		return nil
	}
	return t.enc.Encode(c)
}
