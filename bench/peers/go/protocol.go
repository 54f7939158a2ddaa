package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// RuntimeClient speaks the management protocol to one runtime.
type RuntimeClient struct {
	URL   string
	Token string
	HTTP  *http.Client
}

type State struct {
	BootID      string               `json:"bootId"`
	Fence       int64                `json:"fence"`
	LastEventID string               `json:"lastEventId"`
	Items       map[string]ItemState `json:"items"`
}

// ItemState is what a runtime serves of an item.
type ItemState struct {
	Active *Active `json:"active"`
}

type Active struct {
	Revision string `json:"revision"`
	Digest   string `json:"digest"`
}

type ApplyRequest struct {
	Fence  int64           `json:"fence"`
	Target Target          `json:"target"`
	Claim  string          `json:"claim"`
	Mode   string          `json:"mode"`
	Items  map[string]Item `json:"items"`
}

type Target struct {
	BootID string `json:"bootId"`
}

type ApplyResponse struct {
	Items map[string]ItemResult `json:"items"`
}

type ItemResult struct {
	Outcome  string          `json:"outcome"`
	Revision string          `json:"revision"`
	Digest   string          `json:"digest"`
	Error    json.RawMessage `json:"error"`
}

type Event struct {
	Type  string     `json:"type"`
	Item  string     `json:"item"`
	State *ItemState `json:"state"`
}

func (c *RuntimeClient) State(ctx context.Context) (State, error) {
	var state State
	return state, c.call(ctx, http.MethodGet, "state", nil, &state)
}

func (c *RuntimeClient) Apply(ctx context.Context, request ApplyRequest) (ApplyResponse, error) {
	var response ApplyResponse
	return response, c.call(ctx, http.MethodPost, "apply", request, &response)
}

// Events reads the stream until it ends or the context does, and hands every event on.
func (c *RuntimeClient) Events(ctx context.Context, after string, take func(Event)) error {
	request, err := c.request(ctx, http.MethodGet, "events", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Last-Event-ID", after)
	response, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		var event Event
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return err
		}
		take(event)
	}
	return lines.Err()
}

func (c *RuntimeClient) call(ctx context.Context, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("%s %s answered %d: %s", method, path, response.StatusCode, text)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func (c *RuntimeClient) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+"/management/v1/"+path, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}
