import { type Flow, type FlowNode, field } from './flow.js';

/** A source or a sink that a node stands for, or why it cannot be one. */
export type Endpoint = { url: string; notes?: string[] } | { reason: string };

const qosOf = (node: FlowNode) => {
  const qos = field(node, 'qos');
  return /^[012]$/.test(qos) ? `?qos=${qos}` : '';
};

/** `?` would begin the settings, and `%` stand for a byte. */
const escaped = (topic: string) => topic.replaceAll('%', '%25').replaceAll('?', '%3F');

function mqttBroker(flow: Flow, node: FlowNode): string | undefined {
  const broker = flow.nodes.get(field(node, 'broker'));
  const host = field(broker, 'broker');
  if (host === '') return undefined;
  if (/^(mqtts?|wss?):\/\//.test(host)) return host.replace(/\/$/, '');
  const scheme = broker?.usetls === true ? 'mqtts' : 'mqtt';
  return `${scheme}://${host}:${field(broker, 'port') || '1883'}`;
}

/** Of the packages' producers and consumers: node-red-contrib-kafka-node's broker has `hosts`, kafka-manager's `hosts` too, others a text. */
function kafkaBroker(flow: Flow, node: FlowNode): string | undefined {
  const broker = flow.nodes.get(field(node, 'broker', 'client', 'kafkaBroker')) ?? node;
  const { hosts } = broker;
  if (Array.isArray(hosts)) {
    const named = hosts
      .map((each: { host?: string; port?: string | number }) =>
        each.host ? `${each.host}:${each.port ?? 9092}` : '',
      )
      .filter((text) => text !== '');
    if (named.length > 0) return `kafka://${named.join(',')}`;
  }
  const text = field(broker, 'hosts', 'brokers', 'broker', 'host', 'zkquorum');
  if (text === '' || flow.nodes.has(text)) return undefined;
  const port = field(broker, 'port');
  return `kafka://${text.replaceAll(/\s/g, '')}${port === '' || text.includes(':') ? '' : `:${port}`}`;
}

const passwordNote = (kind: string) =>
  `${kind}: a flow has no passwords in it; aiot stream login keeps one for its endpoint`;

/** What a node reads from. Undefined when it is no source. */
export function sourceOf(flow: Flow, node: FlowNode): Endpoint | undefined {
  switch (kindOf(node)) {
    case 'mqtt in': {
      const broker = mqttBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const topic = field(node, 'topic');
      if (topic === '') return { reason: 'it has no topic (it subscribes while the flow runs)' };
      const secured = field(flow.nodes.get(field(node, 'broker')), 'credentials') !== '';
      return {
        url: `${broker}/${escaped(topic)}${qosOf(node)}`,
        ...(secured ? { notes: [passwordNote(broker)] } : {}),
      };
    }
    case 'kafka in': {
      const broker = kafkaBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const group = field(node, 'groupId', 'groupid', 'group');
      return { url: `${broker}/${field(node, 'topic', 'topics')}${group === '' ? '' : `?group=${group}`}` };
    }
    case 'http in': {
      const method = field(node, 'method') || 'get';
      if (method !== 'post') return { reason: `it answers ${method.toUpperCase()}; a webhook takes POST` };
      return { url: `http://0.0.0.0:1880${field(node, 'url')}` };
    }
    default:
      return undefined;
  }
}

/** What a node writes to. Undefined when it is no sink. */
export function sinkOf(flow: Flow, node: FlowNode): Endpoint | undefined {
  switch (kindOf(node)) {
    case 'mqtt out': {
      const broker = mqttBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const topic = escaped(field(node, 'topic'));
      return { url: `${broker}${topic === '' ? '' : `/${topic}`}${qosOf(node)}` };
    }
    case 'kafka out': {
      const broker = kafkaBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const topic = field(node, 'topic');
      return { url: topic === '' ? broker : `${broker}/${topic}` };
    }
    case 'http request': {
      const method = field(node, 'method') || 'GET';
      const url = field(node, 'url');
      if (url === '') return { reason: 'its address is set while the flow runs' };
      if (url.includes('{{')) return { reason: `its address has a field in it: ${url}` };
      if (method !== 'POST')
        return {
          reason: `it asks with ${method === 'use' ? 'a method set while the flow runs' : method}; a sink posts`,
        };
      return { url: /^https?:/.test(url) ? url : `http://${url}` };
    }
    case 'file': {
      const file = field(node, 'filename');
      if (file === '' || /^(jsonata|msg|env)$/.test(field(node, 'filenameType')))
        return { reason: 'its name is set while the flow runs' };
      return { url: `file://${file.startsWith('/') ? file : `./${file}`}` };
    }
    default:
      return undefined;
  }
}

/** Packages write the names of Kafka's nodes differently: `Kafka Producer`, `kafka out`, `hm-kafka-producer`, … */
function kindOf({ type }: FlowNode): string {
  if (/kafka/i.test(type)) {
    if (/produc|out$/i.test(type)) return 'kafka out';
    if (/consum|in$/i.test(type)) return 'kafka in';
  }
  return type;
}
