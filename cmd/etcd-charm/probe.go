package main

import (
	"context"
	"slices"

	"github.com/juju-charms/etcd-charm/internal/host"
	"github.com/juju-charms/etcd-charm/internal/operator"
	"github.com/juju-charms/etcd-charm/internal/proxy"
)

// unitMachine is the unit's machine, with the look through the proxy's eyes that the host itself has not: the host
// knows files and processes, the proxy knows whom it may use and how.
type unitMachine struct{ *host.Host }

// Observe looks at machine and cluster, and on a proxy at each member that it may use.
func (m unitMachine) Observe(ctx context.Context, model operator.Model) (operator.World, error) {
	world, err := m.Host.Observe(ctx, model)
	if err != nil || world.Service.Kind != operator.ProxyService || world.Proxy.Written == "" {
		return world, err
	}
	config, err := proxy.ReadConfig(m.ProxyConfig())
	if err != nil {
		return world, nil //nolint:nilerr // a file that the proxy cannot use is written again: Proxy.Written will not fit
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
		at := operator.Through{At: world.Service.Listens[i]}
		if err != nil {
			at.Error = err.Error()
		}
		world.Through = append(world.Through, at)
	}
	if slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		// Perhaps it has only just been started, and has ended since: then its log says why.
		if again, err := m.Host.Observe(ctx, model); err == nil {
			world.Service = again.Service
		}
	}
	return world, nil
}

// upstreamProbes puts the proxy's findings into the operator's words. A member that answers and has no quorum serves no
// writes, and that is said beside.
func upstreamProbes(config proxy.Config, probes []proxy.MemberProbe) []operator.UpstreamProbe {
	peers := map[string]string{}
	for _, m := range config.Members {
		peers[m.Name] = m.PeerURL
	}
	out := make([]operator.UpstreamProbe, 0, len(probes))
	for _, p := range probes {
		out = append(out, operator.UpstreamProbe{
			Name: p.Name, PeerURL: peers[p.Name], ClientURL: p.ClientURL, Answers: p.Reachable, RTT: p.RTT, Version: p.Version,
			CertRemaining: p.CertRemaining, Reads: p.Reads, Alarms: p.Alarms, Error: p.Error,
		})
	}
	return out
}
