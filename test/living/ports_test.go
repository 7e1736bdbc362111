package living

import (
	"net"
	"slices"
	"sync"
	"time"
)

// ports watches who listens.
type ports struct {
	end  chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	closed map[string]bool // now
	order  []string        // in which they closed, each once
	most   int             // at one time
}

// watchPorts tries each address, by name, every 20 ms.
func watchPorts(at map[string]string) *ports {
	p := &ports{end: make(chan struct{}), closed: map[string]bool{}}
	for name, address := range at {
		p.done.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-p.end:
					return
				case <-tick.C:
					conn, err := net.DialTimeout("tcp", address, time.Second)
					if err == nil {
						conn.Close()
					}
					p.saw(name, err != nil)
				}
			}
		})
	}
	return p
}

func (p *ports) saw(name string, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.closed, name)
	if !closed {
		return
	}
	p.closed[name] = true
	p.most = max(p.most, len(p.closed))
	if !slices.Contains(p.order, name) {
		p.order = append(p.order, name)
	}
}

// stop tells who closed, in which order, and how many at most at one time.
func (p *ports) stop() (order []string, most int) {
	close(p.end)
	p.done.Wait()
	return p.order, p.most
}
