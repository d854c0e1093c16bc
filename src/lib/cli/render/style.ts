import { styleText } from 'node:util';

/** Colours only where a person reads: set once per command from the terminal, --no-color and --json. */
let colored = false;

export function useColor(on: boolean): void {
  colored = on;
}

type Style = Parameters<typeof styleText>[0];

function paint(style: Style) {
  return (text: string) => (colored ? styleText(style, text) : text);
}

export const bold = paint('bold');
export const dim = paint('dim');
export const red = paint('red');
export const green = paint('green');
export const yellow = paint('yellow');
export const cyan = paint('cyan');
