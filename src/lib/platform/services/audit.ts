import type { AuditEntry } from '../../registry/index.js';
import type { Store } from '../store/database.js';

/** What is written down of one act. */
export interface Act {
  who: string;
  /** `model.push`, `model.promote`, … */
  action: string;
  /** `har@3`, or the name of a device. */
  subject: string;
  detail?: Record<string, unknown>;
}

/** Who did what, and when. Entries are added and never changed. */
export interface Audit {
  /** In the caller's transaction, so that nothing is done that is not written down. */
  note(act: Act, store?: Store): Promise<void>;
  /** Newest first. */
  list(query: { subject?: string | undefined; limit: number }): Promise<AuditEntry[]>;
}

export function auditIn(own: Store, now: () => number): Audit {
  return {
    async note({ who, action, subject, detail = {} }, store = own) {
      const row = { at: now(), who, action, subject, detail: JSON.stringify(detail) };
      await store.insertInto('audit').values(row).execute();
    },
    async list({ subject, limit }) {
      const rows = await own
        .selectFrom('audit')
        .selectAll()
        .$if(subject !== undefined, (query) =>
          query.where((is) =>
            is.or([
              is('subject', '=', subject ?? ''),
              // All versions of a name. No LIKE: a name may hold an underscore, which is its wildcard.
              is(
                is.fn<string>('substr', ['subject', is.val(1), is.val((subject ?? '').length + 1)]),
                '=',
                `${subject}@`,
              ),
            ]),
          ),
        )
        .orderBy('id', 'desc')
        .limit(limit)
        .execute();
      return rows.map(({ detail, ...row }) => ({
        ...row,
        detail: JSON.parse(detail) as AuditEntry['detail'],
      }));
    },
  };
}
