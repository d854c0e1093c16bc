const structors: Record<string, (name: string) => string> = {
  C: (name) => name,
  D: (name) => `~${name}`,
};
/** Operators by their two letters. Source: Itanium C++ ABI, 5.1.3. */
const operators: Record<string, string> = {
  nw: ' new',
  na: ' new[]',
  dl: ' delete',
  da: ' delete[]',
  pl: '+',
  mi: '-',
  ml: '*',
  dv: '/',
  rm: '%',
  aS: '=',
  pL: '+=',
  mI: '-=',
  mL: '*=',
  dV: '/=',
  eq: '==',
  ne: '!=',
  lt: '<',
  gt: '>',
  le: '<=',
  ge: '>=',
  nt: '!',
  aa: '&&',
  oo: '||',
  pp: '++',
  mm: '--',
  cl: '()',
  ix: '[]',
  pt: '->',
  ls: '<<',
  rs: '>>',
  an: '&',
  or: '|',
  eo: '^',
  co: '~',
};

/**
 * `_ZN7sensors5Level4readEv` → `sensors::Level::read`: the plain names of C++ without their parameters, which is what is read
 * on a way back. null for anything else: templates, substitutions, local names, and names that are not mangled.
 * Source: Itanium C++ ABI, 5.1.
 */
export function demangle(name: string): string | null {
  const nested = /^_ZN[rVK]*([RO]?)/.exec(name);
  if (nested === null) {
    const [whole = '', digits = ''] = /^_ZL?(\d+)/.exec(name) ?? [];
    const length = Number(digits);
    const source = name.slice(whole.length, whole.length + length);
    const after = name[whole.length + length];
    return whole === '' || source.length < length || after === 'I' ? null : plain(source);
  }
  const parts: string[] = [];
  let at = nested[0].length;
  if (name.startsWith('St', at)) {
    parts.push('std');
    at += 2;
  }
  for (;;) {
    const rest = name.slice(at);
    if (rest.startsWith('E')) return parts.length === 0 ? null : parts.join('::');
    const [whole, digits] = /^L?(\d+)/.exec(rest) ?? [];
    if (whole !== undefined && digits !== undefined) {
      const source = rest.slice(whole.length, whole.length + Number(digits));
      if (source.length < Number(digits)) return null;
      parts.push(plain(source));
      at += whole.length + source.length;
      continue;
    }
    const structor = /^([CD])[0-5]/.exec(rest)?.[1];
    const operator = operators[rest.slice(0, 2)];
    const last = parts.at(-1);
    if (structor !== undefined && last !== undefined) parts.push(structors[structor]?.(last) ?? last);
    else if (operator !== undefined) parts.push(`operator${operator}`);
    else return null;
    at += 2;
  }
}

function plain(source: string): string {
  return source.startsWith('_GLOBAL__N') ? '(anonymous namespace)' : source;
}
