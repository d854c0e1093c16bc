import { malformed, unsupported } from '../../errors.js';
import { Message } from './protobuf.js';

/** One operation, as it stands in a graph or a function. */
export interface NodeDef {
  name: string;
  op: string;
  /** `name`, `name:2` in a graph, `name:output:0` in a function; `^name` only says what comes first. */
  inputs: string[];
  /** AttrValue by name. */
  attributes: Map<string, Message>;
}

export interface FunctionDef {
  arguments: string[];
  nodes: Map<string, NodeDef>;
  /** What each output is, as an input would name it. */
  returns: string[];
}

/** What of a SavedModel is needed to follow one signature. */
export interface SavedGraph {
  nodes: Map<string, NodeDef>;
  functions: Map<string, FunctionDef>;
  input: { name: string; shape: number[] };
  output: string;
}

/**
 * The meta graph `serve` of saved_model.pb and its signature `serving_default`. Field numbers: tensorflow/core/protobuf/saved_model.proto,
 * meta_graph.proto, and framework/graph.proto, function.proto, node_def.proto.
 * @throws AIOT_FILE_MALFORMED, AIOT_LAYER_UNSUPPORTED for more than one input or output
 */
export function readGraphDef(bytes: Uint8Array): SavedGraph {
  const metaGraphs = new Message(bytes).messages(2);
  const meta = metaGraphs.find((each) => each.message(1)?.texts(4).includes('serve')) ?? metaGraphs[0];
  const graph = meta?.message(2);
  const signatures = meta?.map(5);
  const signature = signatures?.get('serving_default') ?? signatures?.get('serve');
  if (!graph || !signature) throw malformed('saved_model.pb has no signature serving_default');
  const [inputs, outputs] = [[...signature.map(1).values()], [...signature.map(2).values()]];
  const [input, output] = [inputs[0], outputs[0]];
  if (!input || !output || inputs.length > 1 || outputs.length > 1)
    throw unsupported(
      'the model',
      `it has ${inputs.length} inputs and ${outputs.length} outputs`,
      'export it with one of each',
    );
  const functions = (graph.message(2)?.messages(1) ?? []).map((each): [string, FunctionDef] => {
    const own = each.message(1);
    const returns = each.textMap(4);
    return [
      own?.text(1) ?? '',
      {
        arguments: own?.messages(2).map((argument) => argument.text(1)) ?? [],
        nodes: nodesOf(each.messages(3)),
        returns: own?.messages(3).map((result) => returns.get(result.text(1)) ?? '') ?? [],
      },
    ];
  });
  const shape =
    input
      .message(3)
      ?.messages(2)
      .map((dimension) => dimension.integer(1)) ?? [];
  return {
    nodes: nodesOf(graph.messages(1)),
    functions: new Map(functions),
    input: { name: input.text(1), shape },
    output: output.text(1),
  };
}

function nodesOf(list: Message[]): Map<string, NodeDef> {
  return new Map(
    list.map((node) => {
      const [name, op] = [node.text(1), node.text(2)];
      return [name, { name, op, inputs: node.texts(3), attributes: node.map(5) }];
    }),
  );
}
