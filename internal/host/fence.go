package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/regular"
)

// fenceText is what the fence's file holds; IDs are in hex, as etcd prints them. Fields are only
// ever added.
type fenceText struct {
	Version  int      `json:"version"`
	Cluster  string   `json:"cluster"`
	Member   string   `json:"member"`
	Replaced []string `json:"replaced,omitempty"`
	Peers    []string `json:"peers,omitempty"`
}

const fenceVersion = 1

// writeFence writes the file by which the gate decides. It holds no secret, and the server's user
// can read it.
func (h *Host) writeFence(f operator.Fence) error {
	text := fenceText{
		Version: fenceVersion, Cluster: hexOf(f.ClusterID), Member: hexOf(f.MemberID), Peers: f.Peers,
	}
	for _, id := range f.Replaced {
		text.Replaced = append(text.Replaced, hexOf(id))
	}
	data, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write fence: %w", err)
	}
	return h.write(file{path: h.fence(), data: append(data, '\n')})
}

// lookFence reads the file back; it returns the zero value where there is none, or none that can be
// read.
func (h *Host) lookFence() operator.Fence {
	f, _ := readFence(h.fence())
	return f
}

func readFence(path string) (operator.Fence, error) {
	data, err := regular.Read(path)
	if err != nil {
		return operator.Fence{}, err
	}
	var text fenceText
	if err := json.Unmarshal(data, &text); err != nil {
		return operator.Fence{}, err
	}
	if text.Version < fenceVersion {
		return operator.Fence{}, errors.New("it has no version")
	}
	f := operator.Fence{Peers: text.Peers}
	ids := []*uint64{&f.ClusterID, &f.MemberID}
	f.Replaced = make([]uint64, len(text.Replaced))
	for i := range text.Replaced {
		ids = append(ids, &f.Replaced[i])
	}
	for i, hex := range append([]string{text.Cluster, text.Member}, text.Replaced...) {
		if *ids[i], err = strconv.ParseUint(hex, 16, 64); err != nil {
			return operator.Fence{}, err
		}
	}
	if len(f.Replaced) == 0 {
		f.Replaced = nil
	}
	return f, nil
}

func hexOf(id uint64) string { return strconv.FormatUint(id, 16) }
