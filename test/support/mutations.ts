export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };

/**
 * Mutations of a value. Each position is replaced with each of these values, removed, or given an additional member.
 */
export function mutations(value: Json): { what: string; value: Json }[] {
  const others: Json[] = [null, true, 0, -1, 1, 1.5, 2 ** 53, '', 'x', 'model', [], {}, ['x'], { x: 1 }];
  const made: { what: string; value: Json }[] = [];
  const at = (path: string, inner: Json, rebuild: (inner: Json | undefined) => Json) => {
    for (const other of others)
      made.push({ what: `${path} = ${JSON.stringify(other)}`, value: rebuild(other) });
    made.push({ what: `no ${path}`, value: rebuild(undefined) });
    if (inner === null || typeof inner !== 'object') return;
    if (!Array.isArray(inner)) made.push({ what: `${path}.more`, value: rebuild({ ...inner, more: 1 }) });
    for (const [key, child] of Object.entries(inner)) {
      at(`${path}.${key}`, child, (next) => {
        if (Array.isArray(inner)) {
          return rebuild(
            inner.flatMap((each, i) => (`${i}` !== key ? [each] : next === undefined ? [] : [next])),
          );
        }
        const { [key]: _, ...rest } = inner;
        return rebuild(next === undefined ? rest : { ...inner, [key]: next });
      });
    }
  };
  at('', value, (next) => next ?? null);
  return made;
}
