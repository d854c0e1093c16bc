// Package eventsources replaces Argo Events' own list of event sources with the three that aiot renders, because the clients of thirty
// clouds would take most of the build time. The validation of each source, and of several in one object, is Argo Events' own.
package eventsources

import (
	"context"
	"errors"

	"github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/eventsources/sources/kafka"
	"github.com/argoproj/argo-events/pkg/eventsources/sources/mqtt"
	"github.com/argoproj/argo-events/pkg/eventsources/sources/webhook"
	"github.com/argoproj/argo-events/pkg/metrics"
)

type EventingServer interface {
	GetEventSourceName() string
	GetEventName() string
	ValidateEventSource(context.Context) error
}

// unknown is a source of any other kind. It always fails, because it would otherwise pass without validation.
type unknown struct{ name string }

func (u unknown) GetEventSourceName() string { return u.name }
func (u unknown) GetEventName() string       { return u.name }
func (u unknown) ValidateEventSource(context.Context) error {
	return errors.New("only mqtt, kafka and webhook are known here (scripts/k8s/argo-events-lint/eventing.go)")
}

func GetEventingServers(source *v1alpha1.EventSource, _ *metrics.Metrics) (map[v1alpha1.EventSourceType][]EventingServer, map[string]*v1alpha1.EventSourceFilter) {
	found := map[v1alpha1.EventSourceType][]EventingServer{}
	add := func(kind v1alpha1.EventSourceType, server EventingServer) { found[kind] = append(found[kind], server) }
	for name, of := range source.Spec.MQTT {
		add(v1alpha1.MQTTEvent, &mqtt.EventListener{EventSourceName: source.Name, EventName: name, MQTTEventSource: of})
	}
	for name, of := range source.Spec.Kafka {
		add(v1alpha1.KafkaEvent, &kafka.EventListener{EventSourceName: source.Name, EventName: name, KafkaEventSource: of})
	}
	for name, of := range source.Spec.Webhook {
		add(v1alpha1.WebhookEvent, &webhook.EventListener{EventSourceName: source.Name, EventName: name, Webhook: of})
	}
	if len(found) == 0 {
		add(v1alpha1.GenericEvent, unknown{source.Name})
	}
	return found, nil
}
