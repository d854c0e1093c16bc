import { AiotError } from '../../../core/errors.js';
import { elementCount, type Graph, isEmpty } from '../../../formats/tflite/graph.js';
import { malformed, unsupported, unsupportedInput } from '../errors.js';
import { type Lower, NodeCall } from './call.js';
import { choiceRows } from './choices.js';
import { classicRows } from './classic.js';
import {
  arrayFor,
  type Constant,
  constantIn,
  constantOf,
  elementTypeOf,
  isReal,
  mostDimensions,
  sizeOfTensor,
} from './constants.js';
import { cumulativeRows } from './cumulative.js';
import { einsumRows } from './einsum.js';
import {
  type OnnxDimension,
  type OnnxFunction,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValue,
  tensorsIn,
} from './file.js';
import { FoldBudget, fold, folds } from './fold.js';
import { linearRows } from './linear.js';
import { type Activation, identity, OnnxMaker, type Value } from './maker.js';
import { Attributes, broadcastShape } from './node.js';
import { normRows } from './norms.js';
import { operatorSet, requireVersion } from './opsets.js';
import { placeRows } from './places.js';
import { pointwiseRows } from './pointwise.js';
import { poolRows } from './pools.js';
import { powerRows } from './powers.js';
import { quantizedRows } from './quantized.js';
import { mostStored, storedShapeOf } from './ranks.js';
import { recurrentRows } from './recurrent.js';
import { resizeRows } from './resize.js';
import { selectionRows } from './selections.js';
import { shapeRows } from './shapes.js';
import { isSmallFloat } from './small-elements.js';
import { treeRows } from './trees.js';
import { windowRows } from './windows.js';

/** Settings that a file does not contain. */
export interface OnnxOptions {
  /** Shapes by input name, including the batch. */
  shapes: ReadonlyMap<string, readonly number[]>;
  /** Values of inputs that become constants. */
  values: ReadonlyMap<string, number>;
  /** The outputs to import, in this order. Default: all float outputs. */
  outputs?: readonly string[] | undefined;
  /** Whether tensors keep a quantized file's scales, as the `quantization` of float32 activations. */
  keepScales?: boolean | undefined;
}

export interface OnnxImport {
  graph: Graph;
  producer: string;
  /** Number of nodes that became operators. */
  layers: number;
  /** Number of nodes that were computed during the import. */
  folded: number;
  /** For each input and output, the original position of each axis; undefined if the order is unchanged. */
  axes: { inputs: (number[] | undefined)[]; outputs: (number[] | undefined)[] };
  notes: string[];
}

/** Operators by name, prefixed with the domain if it is not the default one. To add an operator, add a row to its table. */
const rows: Readonly<Record<string, Lower>> = {
  ...choiceRows,
  ...classicRows,
  ...cumulativeRows,
  ...einsumRows,
  ...linearRows,
  ...normRows,
  ...placeRows,
  ...pointwiseRows,
  ...poolRows,
  ...powerRows,
  ...quantizedRows,
  ...recurrentRows,
  ...resizeRows,
  ...selectionRows,
  ...shapeRows,
  ...treeRows,
  ...windowRows,
};

/** Workarounds for unsupported operators, as suggested in errors; undefined for those that only a program can replace. */
const replacements: Readonly<Record<string, string | undefined>> = {
  Loop: 'export the model without loops, with a fixed number of steps',
  NonMaxSuppression: undefined,
  Scan: 'export the model without loops, with a fixed number of steps',
};

/** Number of constant elements that any model may have beyond those in the file. Folding also counts intermediate results. */
const leastNumbers = 2 ** 22;

/**
 * Maximum total size of function bodies, each counted as often as it is called. Without a limit, 16 nested functions with 10 calls each would
 * never be fully expanded.
 */
const mostInlined = 100_000;

/** Maximum number of steps of a loop. */
const mostSteps = 4096;

/**
 * Converts a model to a float32 graph. Constants and shapes are computed, and images are stored channels last. Nodes and inputs that no
 * output needs are omitted.
 * @throws AIOT_LAYER_UNSUPPORTED naming the node, AIOT_FILE_MALFORMED
 */
export function onnxToGraph(model: OnnxModel, options: OnnxOptions): OnnxImport {
  return new ModelWalk(model, options).run();
}

/** The names in one graph: known values, and the nodes and initializers that produce the others. */
class Scope {
  readonly values = new Map<string, Value>();
  readonly makers = new Map<string, { node: OnnxNode; index: number }>();
  /** Nodes that are waiting for their inputs. */
  readonly open = new Set<OnnxNode>();
  private readonly initializers: ReadonlyMap<string, OnnxTensor>;

  constructor(
    nodes: readonly OnnxNode[],
    initializers: readonly OnnxTensor[],
    private readonly outer: Scope | undefined,
    readonly path: string,
  ) {
    this.initializers = new Map(initializers.map((tensor) => [tensor.name, tensor]));
    nodes.forEach((node, index) => {
      for (const name of node.outputs) {
        if (name === '') continue;
        if (this.makers.has(name)) throw malformed(`${name} is computed by two nodes`);
        this.makers.set(name, { node, index });
      }
    });
  }

  /** Whether the node that computes this name is waiting for its inputs. */
  isOpen(name: string): boolean {
    const made = this.makers.get(name);
    return made !== undefined && this.open.has(made.node);
  }

  /** The value of a name, if it is known. */
  find(name: string): Value | undefined {
    const found = this.values.get(name);
    if (found !== undefined) return found;
    const tensor = this.initializers.get(name);
    if (tensor === undefined) return this.makers.has(name) ? undefined : this.outer?.find(name);
    const constant = constantIn(tensor);
    this.values.set(name, constant);
    return constant;
  }
}

class ModelWalk {
  private readonly maker: OnnxMaker;
  private readonly budget: FoldBudget;
  private readonly graph: OnnxGraph;
  private readonly opset: number;
  private readonly functions: ReadonlyMap<string, OnnxFunction>;
  private readonly inputs: { name: string; value: Activation }[] = [];
  private readonly declared = new Map<string, OnnxValue>();
  private removedScales = 0;
  /** The outputs that are imported. */
  private wanted: readonly string[] = [];
  private layers = 0;
  private folded = 0;

  constructor(
    private readonly model: OnnxModel,
    private readonly options: OnnxOptions,
  ) {
    if (model.graph === undefined) throw malformed('it has no graph');
    this.graph = model.graph;
    if (this.graph.sparse.length > 0)
      throw unsupported('the model', 'sparse initializers are not supported', 'store the weights densely');
    this.opset = operatorSet(model);
    this.functions = new Map(model.functions.map((each) => [`${each.domain}:${each.name}`, each]));
    const stored = tensorsIn(this.graph).reduce((sum, tensor) => sum + sizeOfTensor(tensor), 0);
    this.budget = new FoldBudget(leastNumbers + 4 * stored);
    this.maker = new OnnxMaker(leastNumbers + stored, this.budget, options.keepScales);
  }

  run(): OnnxImport {
    const { graph, maker } = this;
    const { notes } = maker;
    const scope = new Scope(graph.nodes, graph.initializers, undefined, '');
    const stored = new Set(graph.initializers.map(({ name }) => name));
    for (const value of graph.inputs) if (!stored.has(value.name)) this.declared.set(value.name, value);
    this.requireKnownNames();
    this.wanted = this.chosenOutputs(scope);
    this.resolve(scope, this.wanted);
    // Uses the file's order, not the order of first use.
    const places = new Map([...this.declared.keys()].map((name, place) => [name, place]));
    const inputs = this.inputs.sort((a, b) => places.get(a.name)! - places.get(b.name)!);
    const outputs = this.wanted.map((name) => {
      const y = scope.find(name)!;
      if (inputs.length === 0 || (y.kind === 'constant' && !isEmpty(y)))
        throw unsupported('the model', `its output ${name} does not depend on an input`);
      this.requireOutputBatch(name, y.shape);
      if (y.shape.length > mostStored) notes.push(combinedNote('output', name, y.shape));
      return y;
    });
    const ends: Activation[] = [];
    for (const [place, y] of outputs.entries())
      ends.push(y.kind === 'constant' ? this.emptyOutput(this.wanted[place]!, y) : this.delivered(y, ends));
    const tensors = maker.tensors;
    ends.forEach(({ tensor }, place) => {
      tensors[tensor] = { ...tensors[tensor]!, name: this.wanted[place]! };
    });
    const tensorsOf = (values: readonly Activation[]) => values.map(({ tensor }) => tensor);
    const built = withoutDead(maker.graph(tensorsOf(inputs.map(({ value }) => value)), tensorsOf(ends)));
    const axes = { inputs: inputs.map(({ value }) => reordered(value)), outputs: ends.map(reordered) };
    for (const [kind, names, orders] of [
      ['input', inputs.map(({ name }) => name), axes.inputs],
      ['output', this.wanted, axes.outputs],
    ] as const)
      for (const [place, order] of orders.entries())
        if (order)
          notes.push(
            `The ${kind} ${names[place]} has its channels last: its axes are ${order.join(', ')} of the original.`,
          );
    if (this.removedScales > 0 && !this.options.keepScales)
      notes.push(
        `The scales of ${this.removedScales} quantized activations were left out: aiot model quantize determines its own from data, and --keep-scales keeps them.`,
      );
    const { producer, producerVersion } = this.model;
    return {
      graph: built,
      producer: [producer, producerVersion].filter(Boolean).join(' ') || 'unknown',
      layers: this.layers,
      folded: this.folded,
      axes,
      notes,
    };
  }

  /** Rejects settings for inputs that do not exist. @throws AIOT_USAGE */
  private requireKnownNames(): void {
    for (const name of [...this.options.shapes.keys(), ...this.options.values.keys()]) {
      if (this.declared.has(name)) continue;
      const known = [...this.declared.keys()];
      throw new AiotError(
        'AIOT_USAGE',
        `--input: the model has no input ${name}; its inputs are ${known.join(', ')}`,
        {
          next: `Name one of them: --input ${known[0] ?? 'NAME'}:SIZExSIZE`,
        },
      );
    }
  }

  private chosenOutputs(scope: Scope): string[] {
    const { outputs } = this.graph;
    const names = outputs.map(({ name }) => name);
    const wanted = [...new Set(this.options.outputs)];
    const unknown = wanted.find((name) => !names.includes(name));
    if (unknown !== undefined)
      throw new AiotError(
        'AIOT_USAGE',
        `--output: the model has no output ${unknown}; its outputs are ${names.join(', ')}`,
        { next: `Name one of them: --output ${names[0] ?? 'NAME'}` },
      );
    if (wanted.length > 0) return wanted;
    const real = outputs.filter(({ name, type }) => {
      const element = type?.tensor?.element;
      if (element === undefined) return scope.makers.get(name)?.node.op === 'ZipMap' || type === undefined;
      return element === 1 || element === 10 || element === 11;
    });
    if (real.length === 0) throw this.withoutFloatOutput(scope, names);
    for (const output of outputs)
      if (!real.includes(output))
        this.maker.notes.push(`The output ${output.name} was left out: its elements are not float numbers.`);
    return [...new Set(real.map(({ name }) => name))];
  }

  /** The error for a model whose outputs all have other elements than float numbers. */
  private withoutFloatOutput(scope: Scope, names: readonly string[]): AiotError {
    const [first] = names;
    const made = first === undefined ? undefined : scope.makers.get(first);
    if (first === undefined || made === undefined)
      return unsupported('the model', 'it has no output of a node');
    return unsupportedInput(
      this.describe(scope, made.node, made.index),
      `its output ${first} has no float numbers, nor has any other output of the model`,
      `To import an output of integers or truth values, name it: --output ${first}`,
    );
  }

  /** Adds everything that these names depend on. Avoids recursion, because a file may chain any number of nodes. */
  private resolve(scope: Scope, names: readonly string[]): void {
    const waiting: string[] = [...names];
    while (waiting.length > 0) {
      const name = waiting.at(-1)!;
      if (this.lookup(scope, name) !== undefined) {
        waiting.pop();
        continue;
      }
      const made = scope.makers.get(name);
      if (made === undefined)
        throw malformed(`${name} is neither an input, a constant nor the output of a node`);
      const { node, index } = made;
      const missing = this.needs(scope, node).filter((each) => this.lookup(scope, each) === undefined);
      if (missing.length > 0) {
        scope.open.add(node);
        // A waiting node is below the nodes that it waits for on this stack.
        if (missing.some((each) => scope.isOpen(each)))
          throw malformed(`${this.describe(scope, node, index)} depends on itself`);
        for (const each of missing) waiting.push(each);
        continue;
      }
      waiting.pop();
      this.add(scope, node, index);
      if (scope.find(name) === undefined)
        throw unsupported(this.describe(scope, node, index), `its output ${name} is not supported`);
    }
  }

  private lookup(scope: Scope, name: string): Value | undefined {
    return scope.find(name) ?? (scope.path === '' ? this.input(scope, name) : undefined);
  }

  /** Names that a node reads, including names in the branch that an If with a known condition takes. */
  private needs(scope: Scope, node: OnnxNode): string[] {
    const own = node.inputs.filter((name) => name !== '');
    if (isLoop(node)) return [...own, ...freeNames(new Attributes(node, '').graph('body'))];
    if (node.op !== 'If' || own.length !== 1) return own;
    const test = this.lookup(scope, own[0]!);
    if (test?.kind !== 'constant') return own;
    return [...own, ...freeNames(this.branch(node, test, this.describe(scope, node, 0)))];
  }

  private branch(node: OnnxNode, test: Constant, where: string): OnnxGraph {
    return new Attributes(node, where).graph(test.data[0] === 0 ? 'else_branch' : 'then_branch');
  }

  private describe(scope: Scope, { name, op }: OnnxNode, index: number): string {
    return `node ${scope.path}${index} (${name === '' ? op : `${name}, ${op}`})`;
  }

  private add(scope: Scope, node: OnnxNode, index: number): void {
    const where = this.describe(scope, node, index);
    this.maker.where = where;
    const inputs = node.inputs.map((name) => (name === '' ? undefined : scope.find(name)));
    const before = this.maker.operators.length;
    const made = this.outputsOf(scope, node, inputs, where);
    node.outputs.forEach((name, place) => {
      const value = made[place];
      if (name === '' || value === undefined) return;
      scope.values.set(name, value);
      if (value.kind === 'activation' && value.tensor >= 0) this.rename(value.tensor, name, before);
    });
  }

  /** Renames a tensor that this node created to the name of the node's output. */
  private rename(tensor: number, name: string, since: number): void {
    const { tensors, operators } = this.maker;
    if (operators.slice(since).some(({ outputs }) => outputs.includes(tensor)))
      tensors[tensor] = { ...tensors[tensor]!, name };
  }

  private outputsOf(scope: Scope, node: OnnxNode, inputs: (Value | undefined)[], where: string): Value[] {
    const { op, domain } = node;
    const attributes = new Attributes(node, where);
    const isDefault = domain === '' || domain === 'ai.onnx';
    if (isDefault && (Object.hasOwn(rows, op) || folds(op)))
      requireVersion(op, this.opset, where, this.model.producer);
    if (op === 'Constant' && domain === '') return [constantNode(attributes, where)];
    if (op === 'If' && domain === '') return this.branchOutputs(scope, node, inputs[0], where);
    if (isLoop(node)) return this.loopOutputs(scope, node, inputs, where);
    const inlined = this.functions.get(`${domain}:${op}`);
    if (inlined !== undefined) return this.inline(scope, node, inlined, inputs, where);
    const key = isDefault ? op : `${domain}:${op}`;
    const known = inputs.every((value) => value === undefined || value.kind === 'constant');
    if (known) {
      const constants = fold({
        op: key,
        inputs: inputs as (Constant | undefined)[],
        attributes,
        outputs: node.outputs.length,
        opset: this.opset,
        budget: this.budget,
        where,
      });
      if (constants !== undefined) {
        this.folded += 1;
        return constants;
      }
    }
    const nothing = emptyResult(key, inputs, where, this.maker);
    if (nothing !== undefined) {
      this.folded += 1;
      return [nothing];
    }
    this.requireBatch(key, inputs, where);
    const lower = Object.hasOwn(rows, key) ? rows[key] : undefined;
    if (lower === undefined) {
      // The model cannot end before a node that reads only the model's inputs.
      const isFirst = !node.inputs.some((name) => scope.makers.has(name));
      const cut = isFirst ? 'compute it outside the model' : 'export the model up to the node before it';
      const instead = Object.hasOwn(replacements, op) ? replacements[op] : `replace it, or ${cut}`;
      throw unsupported(where, `${key} is not supported`, instead ?? cut);
    }
    const isRead = (name: string) => this.readNames().has(name);
    const call = new NodeCall(this.maker, op, where, inputs, attributes, node.outputs, isRead, this.opset);
    const made = [lower(call)].flat();
    if (made.every(({ kind }) => kind === 'constant')) this.folded += 1;
    else this.layers += 1;
    if (op === 'QuantizeLinear' || op === 'QGemm' || op.startsWith('QLinear')) this.removedScales += 1;
    return made;
  }

  private names: Set<string> | undefined;
  private readNames(): Set<string> {
    this.names ??= new Set([...namesRead(this.graph.nodes), ...this.wanted]);
    return this.names;
  }

  private branchOutputs(scope: Scope, node: OnnxNode, test: Value | undefined, where: string): Value[] {
    if (test?.kind !== 'constant') throw this.computedCondition(scope, node.inputs[0] ?? '', where);
    this.folded += 1;
    const branch = this.branch(node, test, where);
    const inner = new Scope(branch.nodes, branch.initializers, scope, `${where.slice(5).split(' ')[0]}.`);
    const names = branch.outputs.map(({ name }) => name);
    this.resolve(inner, names);
    return names.map((name) => inner.find(name)!);
  }

  /** The error for a condition that is not constant. It names the inputs that decide, if they are settings such as a sampling rate. */
  private computedCondition(scope: Scope, name: string, where: string): AiotError {
    const seen = new Set([name]);
    for (const each of seen) for (const next of scope.makers.get(each)?.node.inputs ?? []) seen.add(next);
    const inputs = [...this.declared.values()].filter((input) => seen.has(input.name));
    const isSetting = ({ type }: OnnxValue) => {
      const dimensions = type?.tensor?.shape?.dimensions ?? [];
      return dimensions.length < 2 && dimensions.every(({ size }) => size === 1);
    };
    if (inputs.length === 0 || inputs.length === this.declared.size || !inputs.every(isSetting))
      return unsupported(
        where,
        'its condition is computed by the model',
        'export the model without branches',
      );
    const names = inputs.map((input) => input.name);
    return unsupported(
      where,
      `its condition depends on the input ${names.join(', ')}`,
      `set it with ${names.map((each) => `--input ${each}=VALUE`).join(' ')}`,
    );
  }

  /**
   * Repeats a loop's body for each step. The number of steps must be known, because its condition is evaluated here. Values that are
   * collected from each step are joined along a new first axis.
   */
  private loopOutputs(
    scope: Scope,
    node: OnnxNode,
    [count, test, ...initial]: (Value | undefined)[],
    where: string,
  ): Value[] {
    const body = new Attributes(node, where).graph('body');
    const known = (value: Value | undefined, role: string): Constant | undefined => {
      if (value?.kind !== 'activation') return value;
      throw unsupported(where, `its ${role} is computed by the model`, replacements.Loop);
    };
    const steps = known(count, 'number of steps')?.data[0] ?? Number.POSITIVE_INFINITY;
    const [stepName, testName, ...names] = body.inputs.map(({ name }) => name);
    const [nextTest, ...results] = body.outputs.map(({ name }) => name);
    if (stepName === undefined || testName === undefined || nextTest === undefined)
      throw malformed(`${where}: its body needs two inputs and an output`);
    if (names.length !== initial.length || results.length < names.length)
      throw malformed(`${where}: its body has ${names.length} values, expected ${initial.length}`);
    // The constants of the body are the same in every step.
    const fixed = new Scope([], body.initializers, scope, '');
    const isConstant = ({ op, domain, outputs }: OnnxNode) =>
      op === 'Constant' && domain === '' && outputs.length === 1;
    for (const inner of body.nodes.filter(isConstant))
      fixed.values.set(inner.outputs[0]!, constantNode(new Attributes(inner, where), where));
    const nodes = body.nodes.filter((inner) => !isConstant(inner));
    const size = nodes.reduce((sum, inner) => sum + sizeOfNode(inner), 1);
    let carried = initial;
    let goesOn: Value | undefined = test ?? constantOf('bool', [], [1]);
    const collected = results.slice(names.length).map((): Value[] => []);
    for (let step = 0; step < steps && known(goesOn, 'condition')?.data[0] !== 0; step++) {
      this.inlined += size;
      if (step >= mostSteps || this.inlined > mostInlined)
        throw unsupported(where, `it has too many steps (${step} reached)`, 'use fewer time steps or layers');
      const inner = new Scope(nodes, [], fixed, `${where.slice(5).split(' ')[0]}.`);
      inner.values.set(stepName, constantOf('int64', [], [step]));
      inner.values.set(testName, goesOn!);
      names.forEach((name, place) => {
        if (carried[place] !== undefined) inner.values.set(name, carried[place]);
      });
      this.resolve(inner, [nextTest, ...results]);
      goesOn = inner.find(nextTest);
      carried = results.slice(0, names.length).map((name) => inner.find(name)!);
      for (const [place, values] of collected.entries())
        values.push(inner.find(results[names.length + place]!)!);
    }
    this.maker.where = where;
    return [...(carried as Value[]), ...collected.map((values) => this.joined(values, where))];
  }

  /** The values of all steps, along a new first axis. */
  private joined(values: readonly Value[], where: string): Value {
    const [first] = values;
    if (first === undefined) throw unsupported(where, 'it has no steps, so an output is empty');
    if (values.some(({ shape }) => shape.join() !== first.shape.join()))
      throw malformed(`${where}: the shapes of an output differ between steps`);
    const shape = [values.length, ...first.shape];
    const { maker, budget } = this;
    budget.spend(shape, where);
    const constants = values.flatMap((value) => (value.kind === 'constant' ? [value] : []));
    if (constants.length === values.length)
      return constantOf(
        constants[0]!.type,
        shape,
        constants.flatMap(({ data }) => [...data]),
      );
    const parts = values.map((value) => {
      const x = value.kind === 'constant' ? maker.plain(maker.weights(value), value.shape) : value;
      return maker.inFileOrder(maker.reshaped(x, [1, ...first.shape]));
    });
    return maker.plain(maker.concatenated(parts, 0), shape);
  }

  private inlineDepth = 0;
  private inlined = 0;
  private inline(
    scope: Scope,
    node: OnnxNode,
    { name, inputs: parameters, outputs, nodes }: OnnxFunction,
    inputs: (Value | undefined)[],
    where: string,
  ): Value[] {
    if (this.inlineDepth > 16) throw malformed(`${where}: functions are nested more than 16 deep`);
    this.inlined += nodes.reduce((sum, inner) => sum + sizeOfNode(inner), 1);
    if (this.inlined > mostInlined) throw malformed(`${where}: its functions are too large in total`);
    const given = new Map(node.attributes.map((each) => [each.name, each]));
    const body = nodes.map((inner) => ({
      ...inner,
      attributes: inner.attributes.flatMap((each) => {
        if (each.reference === '') return [each];
        const from = given.get(each.reference);
        return from ? [{ ...from, name: each.name }] : [];
      }),
    }));
    const inner = new Scope(body, [], undefined, `${scope.path}${name}.`);
    parameters.forEach((parameter, place) => {
      const value = inputs[place];
      if (value !== undefined) inner.values.set(parameter, value);
    });
    this.inlineDepth += 1;
    this.resolve(inner, outputs);
    this.inlineDepth -= 1;
    return outputs.map((each) => inner.find(each)!);
  }

  /** An input of the model: a constant if the user specified its value, otherwise a tensor. Undefined for other names. */
  private input(scope: Scope, name: string): Value | undefined {
    const value = this.declared.get(name);
    if (value === undefined) return undefined;
    const where = `the input ${name}`;
    const type = elementTypeOf(value.type?.tensor?.element ?? 0, where);
    const fixed = this.options.values.get(name);
    const shape = this.inputShape(value, fixed !== undefined);
    let made: Value;
    if (fixed !== undefined) {
      this.budget.spend(shape, where);
      made = constantOf(type, shape, arrayFor(type, elementCount(shape)).fill(fixed));
    } else {
      const isIndex = type === 'int32' || type === 'int64';
      if ((!isReal(type) || isSmallFloat(type)) && !isIndex)
        throw unsupportedInput(
          where,
          `its elements are ${type}, expected float, int32 or int64`,
          `Fix its value with --input ${name}=VALUE.`,
        );
      const isImage = (shape.length === 3 || shape.length === 4) && this.feedsImages(name);
      const order = isImage ? [0, ...identity(shape.length).slice(2), 1] : identity(shape.length);
      const isWide = shape.length > mostStored;
      const own = isWide ? storedShapeOf(shape) : this.maker.storedShape({ shape, order });
      const tensor = this.maker.activation(name, own);
      if (isIndex) this.maker.setType(tensor, 'int32');
      const value = isWide ? this.maker.plain(tensor) : this.maker.stored(tensor, shape, order);
      this.inputs.push({ name, value });
      made = this.maker.reshaped(value, shape);
      if (isWide) this.maker.notes.push(combinedNote('input', name, shape));
    }
    scope.values.set(name, made);
    return made;
  }

  private inputShape({ name, type }: OnnxValue, isFixed: boolean): number[] {
    const given = this.options.shapes.get(name);
    const dimensions = type?.tensor?.shape?.dimensions;
    const batch = this.batchAxis(name, dimensions ?? []);
    this.named ??= this.namedSizes();
    if (given !== undefined) {
      const differs = dimensions?.some(
        ({ size }, k) => k !== batch && size !== undefined && size > 0 && size !== given[k],
      );
      if (!dimensions || (given.length === dimensions.length && !differs)) {
        const stated = dimensions?.[batch]?.size ?? 0;
        if (stated > 0 && stated !== given[batch]) this.batch = { stated, given: given[batch]!, axis: batch };
        return [...given];
      }
      throw unsupportedInput(
        `--input ${name}`,
        `expected ${dimensions.map(sizeText).join('x')}, got ${given.join('x')}`,
        'Of the sizes that the file states, only the batch can be changed.',
      );
    }
    const suggested = (dimensions ?? []).map(({ size }, k) => size ?? (k === batch ? 1 : 'SIZE'));
    const example = `Specify it with --input ${name}:${suggested.join('x') || '1xSIZE'}.`;
    if (dimensions === undefined)
      throw unsupportedInput(`the input ${name}`, 'the file does not state its shape', example);
    const shape = dimensions.map(({ size, parameter }, k) =>
      size !== undefined && size > 0
        ? size
        : (this.sizeOf(parameter) ?? (k === batch || isFixed ? 1 : undefined)),
    );
    const stated = dimensions[batch]?.size ?? 0;
    if (stated > 1 && dimensions.length > 1 && this.isBatch(stated, batch)) {
      const single = shape.map((size, k) => (k === batch ? 1 : (size ?? 'SIZE')));
      this.maker.notes.push(
        `The input ${name} is ${shape.map((size) => size ?? 'SIZE').join('x')}. If ${stated} is the batch size of the export, import the model for one example with --input ${name}:${single.join('x')}.`,
      );
    }
    if (shape.includes(undefined))
      throw unsupportedInput(
        `the input ${name}`,
        `its shape is ${dimensions.map(sizeText).join('x')}`,
        example,
      );
    const sizes = shape as number[];
    if (elementCount(sizes) > 2 ** 24 || sizes.length > mostDimensions)
      throw unsupportedInput(
        `the input ${name}`,
        `its shape is ${sizes.join('x')}`,
        `Use at most ${mostDimensions} dimensions and 16 million numbers.`,
      );
    return sizes;
  }

  /** A batch size in the file that --input changes. */
  private batch: { stated: number; given: number; axis: number } | undefined;

  /** The axis of the batch: by its name, or else the second for a recurrent layer that expects the time first, or else the first. */
  private batchAxis(name: string, dimensions: readonly OnnxDimension[]): number {
    const named = dimensions.findIndex(({ parameter }) => batchName.test(parameter));
    // A name such as N on a later axis is more likely a length.
    if (named === 0 || (named === 1 && dimensions.length === 3)) return named;
    const isTimeFirst = (this.consumers().get(name) ?? []).some(
      (node) =>
        ['GRU', 'LSTM', 'RNN'].includes(node.op) &&
        node.inputs[0] === name &&
        new Attributes(node, '').integer('layout', 0) === 0,
    );
    return isTimeFirst && dimensions.length === 3 ? 1 : 0;
  }

  /** Whether all inputs and outputs have this size, so that it is likely the batch. */
  private isBatch(size: number, axis: number): boolean {
    return [...this.declared.values(), ...this.graph.outputs].every(({ name, type }) => {
      if (this.options.values.has(name)) return true;
      const dimensions = type?.tensor?.shape?.dimensions;
      return !dimensions || dimensions[0]?.size === size || dimensions[axis]?.size === size;
    });
  }

  /** Rejects an operator that contains the batch size of the file, if --input changes it. @throws AIOT_LAYER_UNSUPPORTED */
  private requireBatch(op: string, inputs: readonly (Value | undefined)[], where: string): void {
    if (this.batch === undefined) return;
    const { axis, stated, given } = this.batch;
    const [x, shape] = inputs;
    const contains =
      op === 'Reshape' || op === 'Expand'
        ? x?.kind === 'activation' &&
          shape?.kind === 'constant' &&
          (shape.data[axis] === stated || shape.data[0] === stated)
        : broadcasting.has(op) && hasRowPerExample(inputs, axis, stated);
    if (!contains) return;
    throw unsupported(
      where,
      `it contains the batch size ${stated}, so --input cannot change it`,
      `export the model with a batch of ${given}, or a dynamic one`,
    );
  }

  /** Rejects a changed batch that does not reach an output. @throws AIOT_LAYER_UNSUPPORTED */
  private requireOutputBatch(name: string, shape: readonly number[]): void {
    const { batch } = this;
    const type = this.graph.outputs.find((output) => output.name === name)?.type;
    const dimensions = type?.tensor?.shape?.dimensions;
    if (batch === undefined) return;
    const isKept = dimensions?.some(({ size }, k) => size === batch.stated && shape[k] === batch.given);
    const isStated = dimensions
      ? dimensions.some(({ size }) => size === batch.stated)
      : shape[batch.axis] === batch.stated;
    if (isKept || !isStated) return;
    throw unsupported(
      `the output ${name}`,
      `it is [${shape.join(', ')}], although --input changes the batch from ${batch.stated} to ${batch.given}`,
      `export the model with a batch of ${batch.given}, or a dynamic one`,
    );
  }

  private named: Map<string, number> | undefined;
  /** The size of a dimension with a name: stated with `--input` for another input, or 1 for the batch. @throws AIOT_LAYER_UNSUPPORTED */
  private sizeOf(dimension: string): number | undefined {
    this.named ??= this.namedSizes();
    return this.named.get(dimension);
  }

  private namedSizes(): Map<string, number> {
    const sizes = new Map<string, number>();
    const batches = new Set<string>();
    for (const { name, type } of this.declared.values()) {
      const dimensions = type?.tensor?.shape?.dimensions ?? [];
      const batch = dimensions[this.batchAxis(name, dimensions)]?.parameter ?? '';
      if (batchName.test(batch)) batches.add(batch);
      const given = this.options.shapes.get(name);
      for (const [k, { size, parameter }] of dimensions.entries()) {
        const stated = given?.[k];
        if (stated === undefined || parameter === '' || (size !== undefined && size > 0)) continue;
        const other = sizes.get(parameter);
        if (other !== undefined && other !== stated)
          throw unsupportedInput(
            `--input ${name}`,
            `the dimension ${parameter} is ${stated}, but ${other} in another input`,
            'Specify the same size for both.',
          );
        sizes.set(parameter, stated);
      }
    }
    for (const batch of batches) if (!sizes.has(batch)) sizes.set(batch, 1);
    return sizes;
  }

  /** Whether an input reaches an operator on images or time series through operators that preserve the axes. */
  private feedsImages(name: string): boolean {
    const consumers = this.consumers();
    const seen = new Set([name]);
    const waiting = [name];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const { op, inputs, outputs } of consumers.get(next) ?? []) {
        if (imageOperators.has(op) && inputs[0] === next) return true;
        if (!keepsAxes.has(op)) continue;
        for (const output of outputs) {
          if (seen.has(output)) continue;
          seen.add(output);
          waiting.push(output);
        }
      }
    }
    return false;
  }

  private readers: Map<string, OnnxNode[]> | undefined;
  private consumers(): Map<string, OnnxNode[]> {
    if (this.readers !== undefined) return this.readers;
    const readers = new Map<string, OnnxNode[]>();
    for (const node of this.graph.nodes) {
      for (const name of new Set(node.inputs)) {
        const list = readers.get(name);
        if (list) list.push(node);
        else readers.set(name, [node]);
      }
    }
    this.readers = readers;
    return readers;
  }

  /** An output without elements. No operator computes it, because TFLite Micro rejects operators with empty results. */
  private emptyOutput(name: string, { type, shape }: Constant): Activation {
    const { maker } = this;
    const tensor = maker.floats(new Float32Array(0), [...shape], name);
    if (type === 'bool') maker.tensors[tensor] = { ...maker.tensors[tensor]!, type, data: new Uint8Array(0) };
    else if (!isReal(type))
      maker.tensors[tensor] = { ...maker.tensors[tensor]!, type: 'int32', data: new Int32Array(0) };
    maker.notes.push(`The output ${name} is [${shape.join(', ')}]: it has no elements.`);
    return maker.plain(tensor);
  }

  /**
   * An output as stored in the .tflite file. Images are stored channels last if an input is; everything else as in the model.
   * @param others the preceding outputs
   */
  private delivered(value: Activation, others: readonly Activation[]): Activation {
    const { maker } = this;
    maker.where = 'the output';
    const y = maker.settled(maker.reshaped(value, storedShapeOf(value.shape)));
    const inputs = this.inputs.map((input) => input.value);
    const taken = [...inputs, ...others].map(({ tensor }) => tensor);
    const channelsLast = [0, ...identity(y.shape.length).slice(2), 1];
    const stays = inputs.some(reordered) && y.shape.length > 2 && y.order.join() === channelsLast.join();
    const isInput = inputs.some(({ tensor }) => tensor === y.tensor);
    const end = stays && !isInput && reordered(y) ? y : maker.arranged(y, identity(y.shape.length));
    if (!taken.includes(end.tensor)) return end;
    // A copy is needed if an output is also an input, or has another output's values.
    const options = { newShape: end.shape };
    return maker.plain(
      maker.op('RESHAPE', [end.tensor, maker.integers(end.shape)], end.shape, options),
      end.shape,
    );
  }
}

const imageOperators = new Set([
  'AveragePool',
  'Conv',
  'ConvTranspose',
  'DepthToSpace',
  'InstanceNormalization',
  'MaxPool',
  'QLinearConv',
  'Resize',
  'SpaceToDepth',
]);

const keepsAxes = new Set([
  'Add',
  'BatchNormalization',
  'Cast',
  'Clip',
  'Concat',
  'DequantizeLinear',
  'Div',
  'Dropout',
  'Identity',
  'LeakyRelu',
  'Mul',
  'Pad',
  'QuantizeLinear',
  'Relu',
  'Sigmoid',
  'Slice',
  'Sub',
  'Tanh',
]);

/** Names of a batch in exporters. */
const batchName = /^(b|B|N|bs|batch.*)$/;

const comparisons: ReadonlySet<string> = new Set([
  'And',
  'Or',
  'Xor',
  'Equal',
  'Greater',
  'GreaterOrEqual',
  'Less',
  'LessOrEqual',
]);

/** Operators whose inputs are broadcast or joined, so that a constant may contain a row for each example. */
const broadcasting: ReadonlySet<string> = new Set([
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Min', 'Max', 'Mean', 'Sum', 'Where', 'PRelu', 'Concat'],
  ...comparisons,
]);

/** The result of broadcasting an input without elements, which has none either; undefined for other nodes. */
function emptyResult(
  op: string,
  inputs: readonly (Value | undefined)[],
  where: string,
  maker: OnnxMaker,
): Constant | undefined {
  if (!broadcasting.has(op) || op === 'Concat') return undefined;
  if (!inputs.some((input) => input?.kind === 'constant' && isEmpty(input))) return undefined;
  // The first input of Where is its condition.
  const typed = inputs[op === 'Where' ? 1 : 0]!;
  const type = typed.kind === 'constant' ? typed.type : maker.typeOfValue(typed);
  const shapes = inputs.flatMap((input) => (input === undefined ? [] : [input.shape]));
  const shape = shapes.reduce((a, b) => broadcastShape(a, b, where));
  return constantOf(comparisons.has(op) ? 'bool' : type, shape, []);
}

/** Whether a constant has as many rows as the batch, and an activation of the same rank does not. */
function hasRowPerExample(inputs: readonly (Value | undefined)[], axis: number, stated: number): boolean {
  const rank = inputs.find((input) => input?.kind === 'activation')?.shape.length;
  return inputs.some(
    (input) => input?.kind === 'constant' && input.shape.length === rank && input.shape[axis] === stated,
  );
}

function combinedNote(kind: 'input' | 'output', name: string, shape: readonly number[]): string {
  const [own, whole] = [storedShapeOf(shape), shape.join(', ')];
  return `The ${kind} ${name} is [${whole}] in the original and [${own.join(', ')}] here: its last ${shape.length - mostStored + 1} dimensions are combined, with the same order of elements.`;
}

function sizeText({ size, parameter }: { size: number | undefined; parameter: string }): string {
  return size !== undefined ? String(size) : parameter || '?';
}

/** The stored order of a value's axes, if an axis longer than 1 is not at its position in the file. */
function reordered({ shape, order }: Activation): number[] | undefined {
  const longer = order.filter((axis) => shape[axis] !== 1);
  return longer.every((axis, k) => k === 0 || longer[k - 1]! < axis) ? undefined : [...order];
}

function constantNode(attributes: Attributes, where: string): Constant {
  const tensor = attributes.tensor('value');
  if (tensor !== undefined) return tensor;
  if (attributes.has('value_float')) return constantOf('float32', [], [attributes.float('value_float', 0)]);
  if (attributes.has('value_int')) return constantOf('int64', [], [attributes.integer('value_int', 0)]);
  const floats = attributes.floats('value_floats');
  if (floats !== undefined) return constantOf('float32', [floats.length], floats);
  const whole = attributes.integers('value_ints');
  if (whole !== undefined) return constantOf('int64', [whole.length], whole);
  throw unsupported(where, 'its value is not a dense tensor of numbers');
}

const isLoop = ({ op, domain }: OnnxNode) => op === 'Loop' && domain === '';

/** Names that any of these nodes, or any node in their inner graphs, reads. */
function* namesRead(nodes: readonly OnnxNode[]): Generator<string> {
  for (const { inputs, attributes } of nodes) {
    yield* inputs;
    for (const { graph } of attributes) {
      if (graph === undefined) continue;
      yield* namesRead(graph.nodes);
      for (const { name } of graph.outputs) yield name;
    }
  }
}

/** Size of a node and its inner graphs: the number of names, numbers and bytes in them. */
function sizeOfNode({ inputs, outputs, attributes }: OnnxNode): number {
  return attributes.reduce((sum, { tensor, graph, floats, integers, bytes }) => {
    const inner = graph === undefined ? [] : graph.nodes.map(sizeOfNode);
    const tensors = [...(tensor ? [tensor] : []), ...(graph?.initializers ?? [])].map(sizeOfTensor);
    const own = floats.length + integers.length + (bytes?.length ?? 0) + 1;
    return [...inner, ...tensors].reduce((a, b) => a + b, sum + own);
  }, inputs.length + outputs.length);
}

/** Names that a graph reads from enclosing graphs. */
function freeNames({ nodes, inputs, outputs, initializers }: OnnxGraph): Set<string> {
  const own = new Set([
    ...[...inputs, ...initializers].map(({ name }) => name),
    ...nodes.flatMap((node) => node.outputs),
    '',
  ]);
  const read = nodes.flatMap(({ inputs: names, attributes }) => [
    ...names,
    ...attributes.flatMap(({ graph }) => (graph === undefined ? [] : [...freeNames(graph)])),
  ]);
  return new Set([...read, ...outputs.map(({ name }) => name)].filter((name) => !own.has(name)));
}

/** Removes operators with unused results. */
export function withoutDead(graph: Graph): Graph {
  const used = new Set(graph.outputs);
  const alive = [...graph.operators].reverse().filter(({ inputs, outputs }) => {
    if (!outputs.some((index) => used.has(index))) return false;
    for (const index of inputs) used.add(index);
    return true;
  });
  return { ...graph, operators: alive.reverse() };
}
