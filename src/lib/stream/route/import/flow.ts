import { z } from 'zod';
import { AiotError, issueText } from '../../../core/index.js';

/**
 * A node of a Node-RED flow as its editor exports it: a list of nodes, where `z` is the tab that a node is on, and `wires` names the nodes behind each of its
 * outputs. Configuration nodes (brokers) have no wires. Source: nodered.org, "Flows", and each node's own help.
 */
const nodeSchema = z.looseObject({
  id: z.string(),
  type: z.string(),
  name: z.string().optional(),
  z: z.string().optional(),
  /** Disabled. */
  d: z.boolean().optional(),
  wires: z.array(z.array(z.string())).optional(),
});
export type FlowNode = z.output<typeof nodeSchema>;

export interface Flow {
  nodes: Map<string, FlowNode>;
}

/** @throws AIOT_FILE_MALFORMED when it is no list of nodes */
export function parseFlow(text: string, file: string): Flow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: expected a Node-RED flow, a list in JSON`, {
      cause,
    });
  }
  // Version 2 of the format wraps the list.
  const list = Array.isArray(value) ? value : (value as { flows?: unknown } | null)?.flows;
  const parsed = z.array(nodeSchema).safeParse(list);
  if (!parsed.success) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${file}: expected a Node-RED flow: ${issueText(parsed.error, 'the file')}`,
    );
  }
  return { nodes: new Map(parsed.data.map((node) => [node.id, node])) };
}

/** `mqtt in "sensors" (a1b2c3)` */
export function nodeText({ type, name, id }: FlowNode): string {
  return name ? `${type} "${name}" (${id})` : `${type} (${id})`;
}

/** A text field of a node; '' where it has none. */
export function field(node: FlowNode | undefined, ...names: string[]): string {
  for (const name of names) {
    const value = node?.[name];
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number') return String(value);
  }
  return '';
}
