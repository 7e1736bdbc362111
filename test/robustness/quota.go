package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// filler is the prefix of the keys that fill a database, beside the keys that are judged.
const filler = "filler/"

// fill writes until etcd refuses for lack of space. Users go on meanwhile.
func (n *nemesis) fill(ctx context.Context) error {
	client, err := n.cluster.field.dial(toAll, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, patience/10)
	defer cancel()
	value := strings.Repeat("x", 100_000)
	for i := 0; ctx.Err() == nil; i++ {
		once, done := context.WithTimeout(ctx, attempt)
		_, err = client.Put(once, fmt.Sprintf("%s%d/%d", filler, n.quota, i), value)
		done()
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return nil
		}
	}
	return fmt.Errorf("cannot fill the databases: %w", errors.Join(ctx.Err(), err))
}

// raise raises the quota by its first value, which makes room each time.
func (n *nemesis) raise(ctx context.Context) error {
	n.quota += firstQuota
	if err := n.cluster.do(ctx, "config", app,
		fmt.Sprintf("quota_backend_bytes=%d", n.quota)); err != nil {
		return err
	}
	return nil
}
