import { type FlowNode, field } from './flow.js';

/** What changes and switches on the way have come to: fields of a route. */
export interface Steps {
  where: string[];
  map?: string;
  topic?: string;
}

/** One rule of a change node: `t` what, `p` of which property (`pt` where), `to` which value (`tot` of which kind). */
interface Rule {
  t?: string;
  p?: string;
  pt?: string;
  from?: string;
  fromt?: string;
  to?: unknown;
  tot?: string;
  v?: unknown;
  vt?: string;
  /** The other end of `btwn`. */
  v2?: unknown;
}

const json = (value: unknown) => JSON.stringify(value);

/** A value of the editor as an expression; undefined where there is none for it. */
function expressionOf(value: unknown, kind: string | undefined): string | undefined {
  const text = String(value ?? '');
  switch (kind) {
    case 'str':
    case undefined:
      return json(text);
    case 'num':
      return Number.isFinite(Number(text)) && text !== '' ? String(Number(text)) : undefined;
    case 'bool':
      return text === 'true' ? 'true' : 'false';
    case 'json':
      try {
        return json(JSON.parse(text));
      } catch {
        return undefined;
      }
    case 'date':
      return '$millis()';
    case 'msg':
      return property(text);
    case 'jsonata':
      return /\b(topic|payload|_msgid)\b/.test(text) ? rewritten(text) : text;
    default:
      return undefined;
  }
}

/** `payload.a` → `a`, `payload` → `$`, `topic` → `$topic`. */
function property(path: string): string | undefined {
  if (path === 'payload') return '$';
  if (path === 'topic') return '$topic';
  if (path === 'key') return '$key';
  return /^payload\.[A-Za-z_][\w.]*$/.test(path) ? path.slice('payload.'.length) : undefined;
}

/** In Node-RED an expression's root is the message; here it is its payload. Only plain uses are taken over. */
function rewritten(text: string): string | undefined {
  if (/_msgid|\$flowContext|\$globalContext|\$env\b|\$moment/.test(text)) return undefined;
  return text
    .replaceAll(/(?<![\w.$])payload\.(?=[A-Za-z_`"])/g, '')
    .replaceAll(/(?<![\w.$])payload(?!\w)/g, '$')
    .replaceAll(/(?<![\w.$])topic(?!\w)/g, '$topic');
}

/** Adds a change node to the steps so far; what of it has no place in a route is the answer. */
export function addChange(node: FlowNode, steps: Steps): string[] {
  const reasons: string[] = [];
  const rules = Array.isArray(node.rules) ? (node.rules as Rule[]) : [];
  for (const rule of rules) {
    const place = `${rule.t ?? '?'} ${rule.pt ?? 'msg'}.${rule.p ?? ''}`;
    const value = rule.t === 'set' ? expressionOf(rule.to, rule.tot) : undefined;
    if (rule.pt !== undefined && rule.pt !== 'msg') reasons.push(`${place}: a route has no context`);
    else if (rule.t === 'set' && value === undefined)
      reasons.push(`${place}: no expression for ${json(rule.to)} (${rule.tot})`);
    else if (rule.t === 'set' && rule.p === 'payload' && steps.map === undefined) steps.map = value as string;
    else if (rule.t === 'set' && rule.p === 'topic') steps.topic = value as string;
    else if (rule.t === 'change' && rule.p === 'topic') addTopicChange(rule, steps, reasons, place);
    else if (rule.t === 'delete' && /^payload\.\w+$/.test(rule.p ?? '') && steps.map === undefined) {
      steps.map = `$sift($, function($v, $k) { $k != ${json((rule.p as string).slice(8))} })`;
    } else if (rule.t === 'set' && /^payload\.\w+$/.test(rule.p ?? '') && steps.map === undefined) {
      steps.map = `$merge([$, {${json((rule.p as string).slice(8))}: ${value}}])`;
    } else if (rule.t === 'set' && ['url', 'method', 'headers'].includes(rule.p ?? '')) {
      reasons.push(`${place}: the sink's address has that`);
    } else reasons.push(`${place}: a route has no step for it`);
  }
  return reasons;
}

/** `change topic from A to B`: the whole topic where it is A, for several of them one after the other. */
function addTopicChange(rule: Rule, steps: Steps, reasons: string[], place: string): void {
  const to = expressionOf(rule.to, rule.tot);
  if (to === undefined || (rule.fromt ?? 'str') !== 'str') {
    reasons.push(`${place}: a route changes texts into texts alone`);
    return;
  }
  const before = steps.topic ?? '$topic';
  // As Node-RED does it: every occurrence in a text.
  steps.topic = `$replace(${before}, ${json(rule.from ?? '')}, ${to})`;
}

const comparisons: Record<string, string> = { eq: '=', neq: '!=', lt: '<', lte: '<=', gt: '>', gte: '>=' };

/** The condition of one output of a switch node, or why there is none. */
export function switchCondition(node: FlowNode, output: number): { where: string } | { reason: string } {
  const rules = Array.isArray(node.rules) ? (node.rules as Rule[]) : [];
  const of =
    field(node, 'propertyType') === 'jsonata'
      ? rewritten(field(node, 'property'))
      : property(field(node, 'property') || 'payload');
  if (of === undefined) return { reason: `it looks at ${field(node, 'property')}, which no route has` };
  const conditions = rules.map((rule) => conditionOf(rule, of));
  const own = conditions[output];
  if (own === undefined)
    return {
      reason: `its output ${output + 1} has a rule that no expression is: ${rules[output]?.t ?? 'none'}`,
    };
  const earlier = node.checkall === 'false' ? conditions.slice(0, output) : [];
  const others = own === 'else' ? conditions.filter((_, index) => index !== output) : earlier;
  if (others.some((one) => one === undefined || one === 'else'))
    return { reason: `the rules before output ${output + 1} are no expressions` };
  const not = others.map((one) => `$not(${one})`);
  return { where: [...not, ...(own === 'else' ? [] : [own])].join(' and ') || 'true' };
}

function conditionOf({ t = '', v, vt, v2 }: Rule, of: string): string | undefined {
  const value = expressionOf(v, vt ?? 'str');
  const sign = comparisons[t];
  if (sign) return value === undefined ? undefined : `${of} ${sign} ${value}`;
  switch (t) {
    case 'else':
      return 'else';
    case 'true':
      return `${of} = true`;
    case 'false':
      return `${of} = false`;
    case 'cont':
      return value === undefined ? undefined : `$contains($string(${of}), ${value})`;
    case 'null':
      return `$not($exists(${of})) or ${of} = null`;
    case 'nnull':
      return `$exists(${of}) and ${of} != null`;
    case 'btwn': {
      const high = expressionOf(v2, 'num');
      return value === undefined || high === undefined ? undefined : `${of} >= ${value} and ${of} <= ${high}`;
    }
    default:
      return undefined;
  }
}
