import { AiotError, namePattern } from '../../core/index.js';
import { type ChipName, chipNames, csvRecords } from '../../formats/index.js';
import { chipIdOf, isChipId, macSchema } from '../../registry/index.js';
import { checkWifi, chipOfType, type Wifi } from '../chip/options.js';
import { deviceType } from '../chip/type-name.js';
import { type Problem, refuseAll } from './problems.js';

/** One device of a fleet file. */
export interface FleetRow {
  line: number;
  name: string;
  type: string;
  /** null = no chip: a folder with an identity. */
  chip: ChipName | null;
  mac: string | undefined;
  chipId: string | undefined;
  wifi: Wifi | null;
}

/** What a row that does not say it itself is given. */
export interface FleetDefaults {
  type: string;
  chip: ChipName | undefined;
  wifi: Wifi | null;
}

const columns = ['name', 'type', 'chip', 'mac', 'chip-id', 'ssid', 'password'] as const;
type Column = (typeof columns)[number];

/**
 * Reads a fleet: a CSV file with a header out of name, type, chip, mac, chip-id, ssid, password; name alone is needed. All
 * of it is checked before anything is made. `file` names it in messages.
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_MALFORMED (with the line), AIOT_CSV_EMPTY
 */
export function readFleet(text: string, file: string, defaults: FleetDefaults): FleetRow[] {
  const [head, ...records] = csvRecords(text, file);
  const header = (head?.cells ?? []).map((cell) => cell.trim());
  const strange = header.find((name) => !columns.includes(name as Column));
  const double = header.find((name, i) => header.indexOf(name) !== i);
  if (strange !== undefined || double !== undefined || !header.includes('name')) {
    const got = strange ?? double ?? 'no name';
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${file}:${head?.line ?? 1}: expected columns out of ${columns.join()}, got ${got}`,
      {
        next: 'The first line names the columns, such as: name,type,ssid,password',
      },
    );
  }
  if (records.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file} names no device`);
  const problems: Problem[] = [];
  const rows = records.flatMap(({ line, cells }) => {
    const place = `${file}:${line}`;
    try {
      if (cells.length !== header.length) {
        const expected = `expected ${header.length} cells, got ${cells.length}`;
        throw new AiotError('AIOT_CSV_MALFORMED', `${place}: ${expected}`);
      }
      const values = new Map(header.map((name, i) => [name, cellValue(name, cells[i] ?? '')]));
      return rowOf((column) => values.get(column) || undefined, { line, place, defaults });
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      problems.push({ line, text: error.message });
      return [];
    }
  });
  problems.push(
    ...twice(rows, file, 'name', ({ name }) => name.toLowerCase()),
    ...twice(rows, file, 'MAC', ({ mac }) => mac),
    ...twice(rows, file, 'chip id', aliasOf),
  );
  refuseAll('AIOT_CSV_MALFORMED', file, problems);
  return rows;
}

/** Spaces belong to the name and the password of a network, and to nothing else. */
function cellValue(column: string, cell: string): string {
  const trimmed = cell.trim();
  return trimmed !== '' && (column === 'ssid' || column === 'password') ? cell : trimmed;
}

/** The chip id that a device of this row will have. */
export function aliasOf({ mac, chipId }: Pick<FleetRow, 'mac' | 'chipId'>): string | undefined {
  return chipId ?? (mac === undefined ? undefined : chipIdOf(mac));
}

interface Where {
  line: number;
  place: string;
  defaults: FleetDefaults;
}

function rowOf(cell: (name: Column) => string | undefined, { line, place, defaults }: Where): FleetRow {
  const refuse = (what: string, value: string | undefined): never => {
    throw new AiotError('AIOT_CSV_MALFORMED', `${place}: expected ${what}, got "${value ?? ''}"`);
  };
  const name = cell('name') ?? refuse('a name', undefined);
  if (!namePattern.test(name)) refuse('a name of letters, digits, dot, dash or underscore', name);
  const type = typeOf(cell('type') ?? defaults.type, place, cell('chip') === undefined);
  if (!namePattern.test(type)) refuse('a type of letters, digits, dot, dash or underscore', type);
  const wanted = cell('chip') ?? (cell('type') === undefined ? defaults.chip : undefined);
  const chip = wanted === undefined ? chipOfType(type) : chipNames.find((known) => known === wanted);
  if (chip === undefined) return refuse(`a chip out of ${chipNames.join(', ')}`, wanted);
  const mac = cell('mac')?.toLowerCase();
  if (mac !== undefined && !macSchema.safeParse(mac).success)
    refuse('a MAC such as 24:0a:c4:00:00:01', cell('mac'));
  const chipId = cell('chip-id');
  if (chipId !== undefined && !isChipId(chipId)) refuse('a chip id of 0 to 16777215', chipId);
  return { line, name, type, chip, mac, chipId, wifi: wifiOf(cell, place) ?? defaults.wifi };
}

function typeOf(text: string, place: string, strict: boolean): string {
  try {
    return deviceType(text, strict);
  } catch (error) {
    const reason = error instanceof AiotError ? error.message : String(error);
    throw new AiotError('AIOT_CSV_MALFORMED', `${place}: ${reason}`, { cause: error });
  }
}

function wifiOf(cell: (name: Column) => string | undefined, place: string): Wifi | null {
  const [ssid, password] = [cell('ssid'), cell('password')];
  if (ssid === undefined && password === undefined) return null;
  if (ssid === undefined) throw new AiotError('AIOT_CSV_MALFORMED', `${place}: a password without an ssid`);
  try {
    return checkWifi(ssid, password ?? '');
  } catch (error) {
    const reason = error instanceof AiotError ? error.message : String(error);
    throw new AiotError('AIOT_CSV_MALFORMED', `${place}: ${reason}`, { cause: error });
  }
}

function twice(
  rows: readonly FleetRow[],
  file: string,
  what: string,
  key: (row: FleetRow) => string | undefined,
): Problem[] {
  const seen = new Map<string, number>();
  return rows.flatMap((row) => {
    const value = key(row);
    if (value === undefined) return [];
    const before = seen.get(value);
    if (before === undefined) seen.set(value, row.line);
    const text = `${file}:${row.line}: the ${what} ${value} stands in line ${before} already`;
    return before === undefined ? [] : [{ line: row.line, text }];
  });
}
