import { Cursor, type DebugData } from './cursor.js';
import { type FormContext, readForm } from './forms.js';

export interface Abbreviation {
  tag: number;
  children: boolean;
  attributes: { name: number; form: number; constant: number | null }[];
}

/** Forms whose meaning a reader of entries has to know. */
export const forms = { address: 1, sectionReference: 16, implicitConstant: 33, listIndex: 35 } as const;

/** One table of .debug_abbrev, by code. Source: DWARF 5, 7.5.3. @throws AIOT_IMAGE_MALFORMED */
export function readAbbreviations(data: DebugData, offset: number): Map<number, Abbreviation> {
  const found = new Map<number, Abbreviation>();
  const cursor = new Cursor(data, offset);
  for (let code = cursor.uleb(); code !== 0; code = cursor.uleb()) {
    const entry: Abbreviation = { tag: cursor.uleb(), children: cursor.u8() === 1, attributes: [] };
    for (;;) {
      const name = cursor.uleb();
      const form = cursor.uleb();
      const constant = form === forms.implicitConstant ? cursor.sleb() : null;
      if (name === 0 && form === 0) break;
      entry.attributes.push({ name, form, constant });
    }
    found.set(code, entry);
  }
  return found;
}

export interface Attribute {
  form: number;
  value: number | string;
}

/** The attributes of an entry that are numbers or strings, by name; moves the cursor behind it. */
export function readAttributes(
  cursor: Cursor,
  entry: Abbreviation,
  context: FormContext,
): Map<number, Attribute> {
  const found = new Map<number, Attribute>();
  for (const { name, form, constant } of entry.attributes) {
    const value = constant ?? readForm(cursor, form, context);
    if (value !== null) found.set(name, { form, value });
  }
  return found;
}
