import type { RecordRow } from '../record.js';

/** What became of boards, each counted once however often it was put in. */
export interface Yield {
  /** Boards that have told their MAC. */
  boards: number;
  /** … whose last row is well. */
  well: number;
  /** … whose first row was well, at the first attempt. */
  firstPass: number;
  /** Rows of ports at which no board ever answered. */
  silent: number;
  /** Error codes of all rows that failed, most first. */
  failures: { code: string; rows: number; example: string }[];
}

export function yieldOf(rows: readonly RecordRow[]): Yield {
  const byMac = new Map<string, RecordRow[]>();
  for (const row of rows) if (row.mac !== '') byMac.set(row.mac, [...(byMac.get(row.mac) ?? []), row]);
  const boards = [...byMac.values()];
  const failures = new Map<string, Yield['failures'][number]>();
  for (const { result, error } of rows) {
    if (result === 'ok') continue;
    const [, code = 'unknown', message = error] = /^([A-Z][A-Z0-9_]+): (.*)$/s.exec(error) ?? [];
    const found = failures.get(code) ?? { code, rows: 0, example: message };
    failures.set(code, { ...found, rows: found.rows + 1 });
  }
  return {
    boards: boards.length,
    well: boards.filter((own) => own.at(-1)!.result === 'ok').length,
    firstPass: boards.filter(([first]) => first!.result === 'ok' && first!.attempts === 1).length,
    silent: rows.filter(({ mac, result }) => mac === '' && result === 'failed').length,
    failures: [...failures.values()].sort((a, b) => b.rows - a.rows),
  };
}
