package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/juju-charms/etcd-charm/internal/proxy"
)

// proxyCommand is how this program is called to be a variant of the proxy.
const proxyCommand = "proxy-variant"

// proxyParts holds the proxy beside itself without its parts, and beside the straight way: one member,
// eight clients at half load, in turns. So each part's saving is seen in one run.
func (b *bench) proxyParts(ctx context.Context) error {
	w, err := b.newWays(ctx, 1)
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := w.front(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program: %w", err)
	}
	w.all = []*way{f.direct("one.direct")}
	for _, v := range []proxy.Variant{proxy.Shipped, proxy.Unsorted, proxy.Plain} {
		listen, err := freePort()
		if err != nil {
			return err
		}
		file := filepath.Join(b.dir, string(v)+".yaml")
		if err := f.config(file, listen); err != nil {
			return err
		}
		if err := w.start(ctx, "one."+string(v), listen, nil, self, proxyCommand, string(v), file); err != nil {
			return err
		}
	}
	return b.beside(ctx, w, rates[0], []op{ops[0], ops[2]}) // put and ser, at half load
}
