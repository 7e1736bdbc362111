package proxy

import (
	"context"
	"log/slog"
	"os"
	"runtime"

	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// Main is the proxy's process: Run, as a guest of the machine. What that process does is decided here, in what this package
// imports and in the service's unit file: the proxy ID that a build is stamped with (internal/stamp) is made of these.
func Main(ctx context.Context, config string) error { return MainAs(ctx, Shipped, config) }

// MainAs is Main with another variant, for benchmarks.
func MainAs(ctx context.Context, variant Variant, config string) error {
	webproxy.Unset()
	// It is a guest where an application works. Fewer threads also wake each other less: 15 to 25 % of its own time.
	runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	return runAs(ctx, variant, config, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}
