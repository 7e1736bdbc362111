package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/juju-charms/etcd-charm/internal/proxy"
)

// proxyCommand is the argument that makes this program a variant of the proxy.
const proxyCommand = "proxy-variant"

// proxyParts compares the proxy with variants that lack some of its parts, and with the direct way:
// one member, eight clients at half load, in turns. So one run shows what each part saves.
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
		if err := w.start(ctx, "one."+string(v), listen, nil,
			self, proxyCommand, string(v), file); err != nil {
			return err
		}
	}
	return b.beside(ctx, w, rates[0], []op{ops[0], ops[2]}) // put and ser, at half load
}
