package main

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	finalizer = "midflight.dev/registry"
	workers   = 20
)

// Reconciler brings Agents into the pod and its acknowledgement into their status.
type Reconciler struct {
	client.Client
	Pod *Pod
	// Changed holds Agents whose state in the pod changed.
	Changed chan event.GenericEvent
}

func (r *Reconciler) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		For(&Agent{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(r.Changed, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers}).
		Complete(r)
}

func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var agent Agent
	if err := r.Get(ctx, request.NamespacedName, &agent); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	item, err := agentItem(&agent)
	if err != nil {
		return ctrl.Result{}, err
	}
	id := "agents/" + agent.Name
	if active, ok := r.Pod.Serves(id); ok && active.Revision == item.Revision {
		return ctrl.Result{}, r.report(ctx, &agent, active)
	}
	if err := r.addFinalizer(ctx, &agent); err != nil {
		return ctrl.Result{}, err
	}
	r.Pod.Want(id, item)
	return ctrl.Result{}, nil
}

// addFinalizer patches with the resourceVersion as a precondition.
func (r *Reconciler) addFinalizer(ctx context.Context, agent *Agent) error {
	before := agent.DeepCopyObject().(*Agent)
	if !controllerutil.AddFinalizer(agent, finalizer) {
		return nil
	}
	return r.Patch(ctx, agent, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// report writes the status by server-side apply, where it differs.
func (r *Reconciler) report(ctx context.Context, agent *Agent, active Active) error {
	if agent.Status.ObservedGeneration == agent.Generation && len(agent.Status.Conditions) > 0 {
		return nil
	}
	status := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": agent.Name, "namespace": agent.Namespace},
		"status":   statusOf(agent.Generation, active),
	}}
	status.SetGroupVersionKind(GroupVersion.WithKind("Agent"))
	configuration := client.ApplyConfigurationFromUnstructured(status)
	return r.Status().Apply(ctx, configuration, client.FieldOwner("midflight-peer"), client.ForceOwnership)
}

func statusOf(generation int64, active Active) map[string]any {
	now := metav1.Now().UTC().Format(time.RFC3339)
	short := active.Revision[:8]
	condition := func(kind, reason, message string) map[string]any {
		return map[string]any{
			"type": kind, "status": "True", "reason": reason, "message": message,
			"observedGeneration": generation, "lastTransitionTime": now,
		}
	}
	return map[string]any{
		"observedGeneration": generation,
		"conditions": []any{
			condition("Accepted", "Accepted", "the spec is valid"),
			condition("Ready", "Served", "every pod serves revision "+short),
			condition("Available", "Available", "1 of 1 pods serves it"),
		},
		"revision": map[string]any{"desired": active.Revision, "short": short, "lastGood": active.Revision},
		"digest":   active.Digest,
		"pods":     map[string]any{"summary": "1/1"},
	}
}
