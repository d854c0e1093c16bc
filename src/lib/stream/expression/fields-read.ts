import type { Node } from './node.js';

/**
 * Names of the fields at the root that an expression looks at, when it looks at nothing else: comparisons, arithmetic and `and`/`or`
 * of fields and constants. Undefined otherwise. Only of nodes that compileNode compiles.
 */
export function fieldsRead(node: Node): readonly string[] | undefined {
  const names = new Set<string>();
  return collect(node, names) ? [...names] : undefined;
}

function collect(node: Node, names: Set<string>): boolean {
  if (node.predicate) return false;
  switch (node.type) {
    case 'string':
    case 'number':
    case 'value':
      return true;
    case 'binary':
      return collect(node.lhs as Node, names) && collect(node.rhs!, names);
    case 'block':
      return node.expressions?.length === 1 && collect(node.expressions[0] as Node, names);
    case 'path': {
      const [step, ...more] = node.steps ?? [];
      if (!step || more.length > 0 || 'stages' in step) return false;
      if (step.type !== 'name') return collect(step as Node, names);
      names.add(String((step as Node).value));
      return true;
    }
    default:
      return false;
  }
}
