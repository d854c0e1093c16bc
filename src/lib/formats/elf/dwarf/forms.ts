import { type Cursor, type DebugData, debugString } from './cursor.js';

/** What decides how long an attribute is. */
export interface FormContext {
  addressBytes: number;
  wide: boolean;
  version: number;
  strings: DebugData | null;
  lineStrings: DebugData | null;
}

/** Fixed lengths of forms whose values nobody here wants. Source: DWARF 5, 7.5.5 and table 7.6. */
const skipped: Record<number, number> = {
  32: 8, // ref_sig8
  30: 16, // data16
  37: 1, // strx1
  38: 2, // strx2
  39: 3, // strx3
  40: 4, // strx4
  41: 1, // addrx1
  42: 2, // addrx2
  43: 3, // addrx3
  44: 4, // addrx4
  28: 4, // ref_sup4
  36: 8, // ref_sup8
};

/** Reads one attribute: a number, a string, or null for what is skipped. @throws AIOT_IMAGE_MALFORMED (a form not known) */
export function readForm(cursor: Cursor, form: number, context: FormContext): number | string | null {
  const length = skipped[form];
  if (length !== undefined) return skip(cursor, length);
  switch (form) {
    case 1: // addr
      return context.addressBytes === 8 ? cursor.u64() : cursor.u32();
    case 3: // block2
      return skip(cursor, cursor.u16());
    case 4: // block4
      return skip(cursor, cursor.u32());
    case 9: // block
    case 24: // exprloc
      return skip(cursor, cursor.uleb());
    case 10: // block1
      return skip(cursor, cursor.u8());
    case 11: // data1
    case 12: // flag
    case 17: // ref1, like its kin below from the unit's start
      return cursor.u8();
    case 5: // data2
    case 18: // ref2
      return cursor.u16();
    case 6: // data4
    case 19: // ref4
      return cursor.u32();
    case 7: // data8
    case 20: // ref8
      return cursor.u64();
    case 8: // string
      return cursor.text();
    case 13: // sdata
      return cursor.sleb();
    case 15: // udata
    case 21: // ref_udata
    case 26: // strx
    case 27: // addrx
    case 34: // loclistx
    case 35: // rnglistx
      return cursor.uleb();
    case 14: // strp
      return debugString(context.strings, cursor.word(context.wide));
    case 31: // line_strp
      return debugString(context.lineStrings, cursor.word(context.wide));
    case 16: // ref_addr: in version 2 as long as an address
      return context.version === 2 && context.addressBytes === 4 ? cursor.u32() : cursor.word(context.wide);
    case 23: // sec_offset
    case 29: // strp_sup
      return cursor.word(context.wide);
    case 22: {
      const own = cursor.uleb();
      if (own === 22) throw cursor.refuse('an indirect form is indirect itself');
      return readForm(cursor, own, context);
    }
    case 25: // flag_present
    case 33: // implicit_const: its value is in the abbreviation
      return null;
    default:
      throw cursor.refuse(`attribute form ${form} is not known`);
  }
}

function skip(cursor: Cursor, count: number): null {
  cursor.skip(count);
  return null;
}
