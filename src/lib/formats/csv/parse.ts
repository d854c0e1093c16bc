import { AiotError } from '../../core/index.js';
import { byteOrderMark, checkHeader, readHeader } from './header.js';
import { type BadCell, readRows } from './rows.js';
import { requireText } from './text.js';

export type { BadCell } from './rows.js';

export interface NumericTable {
  columns: string[];
  /** One array a column, all of the same length. */
  data: Float64Array[];
}

/** A table with columns of text. */
export interface LabelledTable extends NumericTable {
  /** The columns that were taken as text, by name, where the file has them; their names are not in `columns`. */
  texts: Record<string, string[]>;
  rows: number;
  /** All names in the file's order. */
  header: string[];
  /** Line of the first row: 2, or 1 without a header. */
  firstLine: number;
}

/**
 * Reads a CSV file of plain decimal numbers under a header row. CRLF, a byte order mark and a missing last line end are
 * accepted; quotes, spaces, empty cells, NaN and infinities are not.
 * @param file name for messages
 * @param wanted the columns that the file must have, no more and no fewer; given back in this order
 * @throws AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY (no row of numbers), AIOT_CSV_MALFORMED (file:line:column, expected, got; also of what is not UTF-8)
 */
export function parseCsv(bytes: Uint8Array, file: string, wanted?: readonly string[]): NumericTable {
  const { columns, bodyStart } = readHeader(bytes, file);
  checkHeader(columns, file, wanted);
  const data = readRows(bytes, bodyStart, columns, file, { words: columns.map(() => null) });
  if (data[0]!.length === 0) throw new AiotError('AIOT_CSV_EMPTY', `${file}: no rows below the header`);
  if (!wanted) return { columns, data };
  return { columns: [...wanted], data: wanted.map((name) => data[columns.indexOf(name)]!) };
}

/**
 * As `parseCsv`, with some columns taken as text as it stands (a label, a group): numbers there are not looked at as numbers.
 * @param textColumns their names, the file need not have them; or whether a name is one of theirs
 * @param onBad takes cells that are no finite number, which count as NaN; absent = they are refused
 * @param names of the columns of a file without a header; a first line that has just these is one all the same
 * @throws as `parseCsv`
 */
export function parseLabelledCsv(
  bytes: Uint8Array,
  file: string,
  textColumns: readonly string[] | ((name: string) => boolean),
  onBad?: (bad: BadCell) => void,
  names?: readonly string[],
): LabelledTable {
  return parseTexts(bytes, file, { textColumns, onBad, names });
}

/** As `parseLabelledCsv`; cells of text may be empty, too: what is not known. */
export function parseMixedCsv(
  bytes: Uint8Array,
  file: string,
  textColumns: (name: string) => boolean,
): LabelledTable {
  return parseTexts(bytes, file, { textColumns, emptyWords: true });
}

interface TextOptions {
  textColumns: readonly string[] | ((name: string) => boolean);
  onBad?: ((bad: BadCell) => void) | undefined;
  names?: readonly string[] | undefined;
  emptyWords?: boolean;
  /** The next step for text in a column of numbers. */
  next?: string;
}

function parseTexts(bytes: Uint8Array, file: string, options: TextOptions): LabelledTable {
  const reader = createTextsReader(file, options);
  const table = reader.read(bytes);
  reader.end();
  return table;
}

/** A CSV file piece by piece: nothing of a piece is kept but the header. */
export interface TextsReader {
  /** Whole lines, the first of them the header; the last one of the file may have no end. */
  read(bytes: Uint8Array): LabelledTable;
  /** @throws AIOT_CSV_EMPTY where no row came */
  end(): void;
}

/** As `parseLabelledCsv`, a piece of the file at a time. @throws as `parseLabelledCsv`, from `read` and `end` */
export function createTextsReader(
  file: string,
  { textColumns, onBad, names, emptyWords, next }: TextOptions,
): TextsReader {
  const isOfText = (name: string) =>
    typeof textColumns === 'function' ? textColumns(name) : textColumns.includes(name);
  let header: { columns: string[]; isText: boolean[]; headless: boolean } | null = null;
  let line = 1;
  let seen = 0;
  return {
    read(bytes) {
      let from = 0;
      if (header === null) {
        const found = readHeader(bytes, file);
        const headless = names !== undefined && found.columns.join() !== names.join();
        const columns = headless ? [...names] : found.columns;
        from = headless ? byteOrderMark(bytes) : found.bodyStart;
        checkHeader(columns, file);
        header = { columns, isText: columns.map(isOfText), headless };
      } else requireText(bytes, file, line);
      const { columns, isText, headless } = header;
      const firstLine = line === 1 && !headless ? 2 : line;
      const words = isText.map((is) => (is ? ([] as string[]) : null));
      // The place of a cell is counted from where the bytes begin.
      const data = readRows(bytes, from, columns, file, { words, onBad, emptyWords, firstLine: line, next });
      const texts = Object.fromEntries(columns.flatMap((name, c) => (words[c] ? [[name, words[c]]] : [])));
      const rows = words[0]?.length ?? data[0]!.length;
      line = firstLine + rows;
      seen += rows;
      return {
        columns: columns.filter((_, c) => !isText[c]),
        data: data.filter((_, c) => !isText[c]),
        texts,
        rows,
        header: columns,
        firstLine,
      };
    },
    end() {
      if (seen > 0) return;
      throw new AiotError('AIOT_CSV_EMPTY', `${file}: no rows${header?.headless ? '' : ' below the header'}`);
    },
  };
}

/** Names of the columns of a CSV file. @throws AIOT_CSV_COLUMNS, AIOT_CSV_MALFORMED (not UTF-8) */
export function csvColumns(bytes: Uint8Array, file: string): string[] {
  return readHeader(bytes, file).columns;
}
