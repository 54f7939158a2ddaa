// A twin of the operator on controller-runtime, for the cold start alone: it brings existing Agents into one runtime,
// in calls of many, with a finalizer on each and their status by server-side apply. It knows of no Team, Workflow,
// ConfigMap, Secret, deletion or second pod.
package main

import (
	"context"
	"flag"
	"net/http"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

type options struct {
	namespace, runtimeURL, tokenFile string
}

func main() {
	var given options
	flag.StringVar(&given.namespace, "namespace", "default", "namespace of the AgentRuntime `default`")
	flag.StringVar(&given.runtimeURL, "runtime", "", "URL of the runtime's management protocol")
	flag.StringVar(&given.tokenFile, "runtime-token-file", "", "file with its token")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(ctrl.SetupSignalHandler(), given); err != nil {
		ctrl.Log.Error(err, "cannot go on")
		os.Exit(1)
	}
}

func run(ctx context.Context, given options) error {
	token, err := os.ReadFile(given.tokenFile)
	if err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	addToScheme(scheme)
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Cache:   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Metrics: server.Options{BindAddress: "127.0.0.1:0"},
	})
	if err != nil {
		return err
	}
	settings, err := readSettings(ctx, manager.GetAPIReader(), given.namespace)
	if err != nil {
		return err
	}
	changed := make(chan event.GenericEvent, chunkItems)
	pod := &Pod{
		Client:    &RuntimeClient{URL: given.runtimeURL, Token: strings.TrimSpace(string(token)), HTTP: &http.Client{}},
		Namespace: given.namespace,
		Settings:  settings,
		Changed: func(name types.NamespacedName) {
			agent := &Agent{}
			agent.Namespace, agent.Name = name.Namespace, name.Name
			changed <- event.GenericEvent{Object: agent}
		},
		wanted: make(chan Wanted, chunkItems),
		active: map[string]Active{},
	}
	if err := manager.Add(pod); err != nil {
		return err
	}
	reconciler := &Reconciler{Client: manager.GetClient(), Pod: pod, Changed: changed}
	if err := reconciler.SetupWithManager(manager); err != nil {
		return err
	}
	return manager.Start(ctx)
}

func readSettings(ctx context.Context, reader client.Reader, namespace string) (Item, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(GroupVersion.WithKind("AgentRuntime"))
	key := client.ObjectKey{Namespace: namespace, Name: "default"}
	if err := reader.Get(ctx, key, object); err != nil {
		return Item{}, err
	}
	spec, _, err := unstructured.NestedMap(object.Object, "spec")
	if err != nil {
		return Item{}, err
	}
	return settingsItem("default", spec)
}
