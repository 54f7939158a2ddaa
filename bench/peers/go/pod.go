package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// As many items go into one call, and it waits at most this long for more.
const (
	chunkItems = 500
	chunkDelay = 20 * time.Millisecond
)

// Pod brings items to one runtime, many in a call, and keeps what it serves, as it says itself.
type Pod struct {
	Client    *RuntimeClient
	Namespace string
	Settings  Item
	// Changed is told of every Agent whose state in the pod changed.
	Changed func(types.NamespacedName)

	wanted chan Wanted
	mutex  sync.Mutex
	active map[string]Active
}

// Wanted is an item that the pod should serve.
type Wanted struct {
	ID   string
	Item Item
}

// Want has the item applied with the next call.
func (p *Pod) Want(id string, item Item) {
	p.wanted <- Wanted{ID: id, Item: item}
}

// Serves tells what the pod serves under an id.
func (p *Pod) Serves(id string) (Active, bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	active, ok := p.active[id]
	return active, ok
}

// Start implements manager.Runnable.
func (p *Pod) Start(ctx context.Context) error {
	state, err := p.Client.State(ctx)
	if err != nil {
		return err
	}
	for id, item := range state.Items {
		p.record(id, item.Active)
	}
	go func() {
		err := p.Client.Events(ctx, state.LastEventID, p.take)
		if ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "the events of the runtime have ended")
		}
	}()
	request := ApplyRequest{Fence: state.Fence + 1, Target: Target{BootID: state.BootID}, Claim: "peer", Mode: "activate"}
	for chunk := map[string]Item{"settings": p.Settings}; chunk != nil; chunk = p.nextChunk(ctx) {
		request.Items = chunk
		if err := p.apply(ctx, request); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pod) apply(ctx context.Context, request ApplyRequest) error {
	response, err := p.Client.Apply(ctx, request)
	if err != nil {
		return err
	}
	for id, result := range response.Items {
		if result.Outcome != "activated" && result.Outcome != "unchanged" {
			return fmt.Errorf("%s was %s: %s", id, result.Outcome, result.Error)
		}
		p.record(id, &Active{Revision: result.Revision, Digest: result.Digest})
	}
	return nil
}

// nextChunk waits for something to apply; nil when the context ends.
func (p *Pod) nextChunk(ctx context.Context) map[string]Item {
	chunk := make(map[string]Item, chunkItems)
	var due <-chan time.Time
	for len(chunk) < chunkItems {
		select {
		case <-ctx.Done():
			return nil
		case <-due:
			return chunk
		case wanted := <-p.wanted:
			chunk[wanted.ID] = wanted.Item
			if due == nil {
				due = time.After(chunkDelay)
			}
		}
	}
	return chunk
}

func (p *Pod) take(event Event) {
	if event.Type == "activated" && event.State != nil {
		p.record(event.Item, event.State.Active)
	}
}

func (p *Pod) record(id string, active *Active) {
	name, isAgent := strings.CutPrefix(id, "agents/")
	if active == nil || !isAgent {
		return
	}
	p.mutex.Lock()
	isNew := p.active[id] != *active
	p.active[id] = *active
	p.mutex.Unlock()
	if isNew {
		p.Changed(types.NamespacedName{Namespace: p.Namespace, Name: name})
	}
}
