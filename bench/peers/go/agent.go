package main

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of the four kinds.
var GroupVersion = schema.GroupVersion{Group: "midflight.dev", Version: "v1alpha1"}

// AgentSpec has its fields in the order of their JSON names, so that its encoding is canonical (RFC 8785).
type AgentSpec struct {
	Agents          []string         `json:"agents,omitempty"`
	Description     string           `json:"description,omitempty"`
	Goal            string           `json:"goal,omitempty"`
	Instructions    string           `json:"instructions,omitempty"`
	Limits          *Limits          `json:"limits,omitempty"`
	MaxSteps        int              `json:"maxSteps,omitempty"`
	Model           string           `json:"model,omitempty"`
	ModelParameters *ModelParameters `json:"modelParameters,omitempty"`
	Prompt          *Prompt          `json:"prompt,omitempty"`
	Role            string           `json:"role,omitempty"`
	Runtime         string           `json:"runtime,omitempty"`
	StyleGuidelines []string         `json:"styleGuidelines,omitempty"`
	SystemPrompt    string           `json:"systemPrompt,omitempty"`
	ToolChoice      string           `json:"toolChoice,omitempty"`
	Tools           []string         `json:"tools,omitempty"`
}

type Limits struct {
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

type ModelParameters struct {
	MaxOutputTokens int      `json:"maxOutputTokens,omitempty"`
	Temperature     *float64 `json:"temperature,omitempty"`
}

type Prompt struct {
	Bundle string `json:"bundle,omitempty"`
	File   string `json:"file"`
}

type AgentStatus struct {
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
}

type Agent struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              AgentSpec   `json:"spec,omitempty"`
	Status            AgentStatus `json:"status,omitempty"`
}

type AgentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Agent `json:"items"`
}

func (a *Agent) DeepCopyInto(out *Agent) {
	*out = *a
	a.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Spec = a.Spec.deepCopy()
	out.Status.Conditions = slices.Clone(a.Status.Conditions)
}

func (s AgentSpec) deepCopy() AgentSpec {
	s.Agents = slices.Clone(s.Agents)
	s.StyleGuidelines = slices.Clone(s.StyleGuidelines)
	s.Tools = slices.Clone(s.Tools)
	s.Limits = clone(s.Limits)
	s.ModelParameters = clone(s.ModelParameters)
	s.Prompt = clone(s.Prompt)
	return s
}

func clone[T any](value *T) *T {
	if value == nil {
		return nil
	}
	copied := *value
	return &copied
}

func (a *Agent) DeepCopyObject() runtime.Object {
	out := &Agent{}
	a.DeepCopyInto(out)
	return out
}

func (l *AgentList) DeepCopyObject() runtime.Object {
	out := &AgentList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy(), Items: make([]Agent, len(l.Items))}
	for i := range l.Items {
		l.Items[i].DeepCopyInto(&out.Items[i])
	}
	return out
}

func addToScheme(scheme *runtime.Scheme) {
	scheme.AddKnownTypes(GroupVersion, &Agent{}, &AgentList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
}
