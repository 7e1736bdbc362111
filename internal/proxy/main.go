package proxy

import (
	"context"
	"log/slog"
	"os"
	"runtime"

	"github.com/juju-charms/etcd-charm/internal/webproxy"
)

// Main is the proxy's process: it calls Run and leaves most of the machine to others. What that
// process does is decided here, in what this package imports and in the service's unit file: the
// proxy ID that a build is stamped with (internal/stamp) is made of these.
func Main(ctx context.Context, config string) error { return MainAs(ctx, Shipped, config) }

// MainAs is Main with another variant, for benchmarks.
func MainAs(ctx context.Context, variant Variant, config string) error {
	webproxy.Unset()
	// The proxy shares its machine with an application. Fewer threads also wake each other less:
	// that saves 15 to 25 % of its own time.
	runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	return runAs(ctx, variant, config, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}
