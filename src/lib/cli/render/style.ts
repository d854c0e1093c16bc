import { Chalk } from 'chalk';

/** Colours only where a person reads: set once per command from the terminal, --no-color and --json. */
const chalk = new Chalk({ level: 0 });

export function useColor(on: boolean): void {
  chalk.level = on ? 1 : 0;
}

/** Whether the reader sees colours. */
export const colored = (): boolean => chalk.level > 0;

type Paint = (text: string) => string;

export const bold: Paint = (text) => chalk.bold(text);
export const dim: Paint = (text) => chalk.dim(text);
export const red: Paint = (text) => chalk.red(text);
export const green: Paint = (text) => chalk.green(text);
export const yellow: Paint = (text) => chalk.yellow(text);
export const cyan: Paint = (text) => chalk.cyan(text);
