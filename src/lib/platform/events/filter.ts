import type { Expression, ExpressionBuilder, SqlBool } from 'kysely';
import type { EventFilter, PlatformEvent } from '../../registry/index.js';
import type { Schema } from '../store/schema.js';

/** Whether an event is wanted: by type (`device.connect`, `device.*`, `*`), and by subject (`har` is all versions of it too). */
export function wants({
  types,
  subject,
}: EventFilter): (event: Pick<PlatformEvent, 'type' | 'subject'>) => boolean {
  const tests = types?.map(testOf);
  return (event) =>
    (tests === undefined || tests.some((test) => test(event.type))) &&
    (subject === undefined || event.subject === subject || event.subject.startsWith(`${subject}@`));
}

function testOf(pattern: string): (type: string) => boolean {
  if (!pattern.endsWith('*')) return (type) => type === pattern;
  const start = pattern.slice(0, -1);
  return (type) => type.startsWith(start);
}

/** The same for the database. */
export function wanted(
  is: ExpressionBuilder<Schema, 'events'>,
  { types, subject }: EventFilter,
): Expression<SqlBool> {
  const all: Expression<SqlBool>[] = [];
  if (types !== undefined && !types.includes('*')) {
    all.push(
      is.or(
        types.map((type) =>
          type.endsWith('*') ? begins(is, 'type', type.slice(0, -1)) : is('type', '=', type),
        ),
      ),
    );
  }
  if (subject !== undefined) {
    all.push(is.or([is('subject', '=', subject), begins(is, 'subject', `${subject}@`)]));
  }
  return is.and(all);
}

/** No LIKE: a name may hold an underscore, which is its wildcard, and SQLite’s takes small letters for capitals. Lengths are of code points there. */
function begins(is: ExpressionBuilder<Schema, 'events'>, column: 'type' | 'subject', start: string) {
  const head = is.fn<string>('substr', [column, is.val(1), is.val([...start].length)]);
  return is(head, '=', start);
}
