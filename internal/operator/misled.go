package operator

import (
	addresses "github.com/juju-charms/etcd-charm/interfaces/address"
)

// Addresses that other machines name are dialled only if they do not lead back to this machine, or
// to no machine at all. Package address judges that. Decisions ask it in this file only: for what
// providers publish here, and for what our own application's units and members name in the survey.

// judge knows our own addresses, as far as Juju has told them. listens are the addresses where a
// server of ours passes on what it is sent.
func (m Model) judge(listens []string) addresses.Judge {
	j := addresses.Judge{Listens: listens}
	for _, at := range []Known[Address]{m.PeerAddress, m.ClientAddress} {
		if at.OK {
			j.Near = append(j.Near, at.Value.Ingress)
		}
	}
	return j
}

// fit are a provider's members without the addresses that must not be dialled, and those addresses,
// each with the reason. A member that has no other address is left out.
func (m Model) fit(
	members []UpstreamMember, listens []string,
) (out []UpstreamMember, misled []string) {
	j := m.judge(listens)
	for _, mem := range members {
		for _, url := range []*string{&mem.PeerURL, &mem.ClientURL} {
			if *url == "" {
				continue
			}
			if kind := j.URL(*url); kind != addresses.Fit {
				misled = append(misled, *url+", "+string(kind))
				*url = ""
			}
		}
		if mem.PeerURL != "" || mem.ClientURL != "" {
			out = append(out, mem)
		}
	}
	return out, misled
}
