package main

import (
	"context"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/proxy"
)

// unitMachine is the unit's machine, and also looks through the proxy. The host knows only files
// and processes; the proxy knows which members it may use, and how.
type unitMachine struct{ *host.Host }

// Observe looks at the machine and the cluster. On a proxy it also looks at each member that the
// proxy may use.
func (m unitMachine) Observe(ctx context.Context, model operator.Model) (operator.World, error) {
	world, err := m.Host.Observe(ctx, model)
	if err != nil || world.Service.Kind != operator.ProxyService || world.Proxy.Written == "" {
		return world, err
	}
	config, err := proxy.ReadConfig(m.ProxyConfig())
	if err != nil {
		//nolint:nilerr // a file that the proxy cannot use is written again: Proxy.Written will not fit
		return world, nil
	}
	var through []proxy.Address
	if world.Service.Running && !world.Service.Failing {
		for _, url := range world.Service.Listens {
			network, address := operator.Dialled(url)
			through = append(through, proxy.Address{Network: network, Address: address})
		}
	}
	probes, errs := proxy.Look(ctx, config, through)
	world.Upstream = upstreamProbes(config, probes)
	for i, err := range errs {
		at := operator.ProxyRead{At: world.Service.Listens[i]}
		if err != nil {
			at.Error = err.Error()
		}
		world.Through = append(world.Through, at)
	}
	if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		// The service may have ended just after its start; then its log says why.
		if again, err := m.Host.Observe(ctx, model); err == nil {
			world.Service = again.Service
		}
	}
	return world, nil
}

// upstreamProbes turns the proxy's findings into operator's types. A member that answers without a
// quorum serves no writes; that is reported with its probe.
func upstreamProbes(config proxy.Config, probes []proxy.MemberProbe) []operator.UpstreamProbe {
	peers := map[string]string{}
	for _, m := range config.Members {
		peers[m.Name] = m.PeerURL
	}
	out := make([]operator.UpstreamProbe, 0, len(probes))
	for _, p := range probes {
		out = append(out, operator.UpstreamProbe{
			Name: p.Name, PeerURL: peers[p.Name], ClientURL: p.ClientURL,
			Answers: p.Reachable, RTT: p.RTT, Version: p.Version,
			CertRemaining: p.CertRemaining, Reads: p.Reads, Alarms: p.Alarms, Error: p.Error,
		})
	}
	return out
}
