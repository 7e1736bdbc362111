package juju

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/juju-charms/etcd-charm/interfaces/hostname"
	"github.com/juju-charms/etcd-charm/internal/operator"
)

// networkInfo is the part of network-get's answer that we read. In JSON Juju calls an address
// "value"; "address" is its name in YAML (worker/uniter/runner/jujuc network-get.go).
type networkInfo struct {
	Bind []struct {
		Addresses []struct {
			Hostname string `json:"hostname"`
			Address  string `json:"address"`
			Value    string `json:"value"`
		} `json:"addresses"`
	} `json:"bind-addresses"`
	Ingress []string `json:"ingress-addresses"`
}

// address reads one binding's network. In a relation's hook network-get would answer for that
// relation: with the public address for a consumer in another model, and with an error once the
// relation is gone (apiserver/facades/agent/uniter networkinfo.go, getRelationNetworkInfo). Our
// address must be the same in every hook, so the call names the peer relation. Others reach us at
// its ingress address. That need not be an address of this machine; it is among All only if it is.
func (o *observer) address(ctx context.Context, binding string) operator.Known[operator.Address] {
	var relation []string
	if len(o.peer.Value) == 1 {
		relation = []string{"-r", o.peer.Value[0]}
	}
	answer := read[networkInfo](ctx, o, "network-get", append(relation, binding)...)
	if !answer.OK {
		return operator.Unknown[operator.Address](answer.Why)
	}
	var out operator.Address
	for _, device := range answer.Value.Bind {
		for _, a := range device.Addresses {
			for _, name := range []string{a.Address, a.Value, a.Hostname} {
				out.All = append(out.All, usable(name)...)
			}
		}
	}
	if at := slices.IndexFunc(out.All, func(name string) bool {
		_, err := netip.ParseAddr(name)
		return err == nil
	}); at >= 0 {
		out.Bound = out.All[at]
	}
	for i, name := range answer.Value.Ingress {
		name := usable(name)
		if len(name) > 0 && out.Ingress == "" {
			out.Ingress = name[0]
		} else if i > 0 {
			out.All = append(out.All, name...)
		}
	}
	if out.Ingress == "" {
		out.Ingress = out.Bound
	}
	if out.Ingress == "" {
		return operator.Unknown[operator.Address](
			"network-get has no usable address for binding " + binding)
	}
	out.All = append(out.All, usable(o.env.Hostname)...)
	slices.Sort(out.All)
	out.All = slices.Compact(out.All)
	return operator.Know(out)
}

// usable returns the canonical spelling of an address or host name that a certificate may contain,
// or nothing. Others cannot reach us at an address that is valid on one link only, or with a zone
// on one machine only.
func usable(name string) []string {
	name = strings.TrimSuffix(strings.TrimSpace(name), ".")
	if ip, err := netip.ParseAddr(name); err == nil {
		ip = ip.Unmap()
		if ip.Zone() != "" || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
			return nil
		}
		return []string{ip.String()}
	}
	if !hostname.Valid(name) {
		return nil
	}
	return []string{strings.ToLower(name)}
}
