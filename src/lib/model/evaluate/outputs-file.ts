import { writeFileAtomic } from '../../core/index.js';
import { type Tensor, writeCsv } from '../../formats/index.js';

/**
 * Writes each row's outputs as a CSV file: `output_0,output_1,…`, real values as float32 (dequantized where the network's
 * output is int8 or int16), in the order of the rows. With `integers`, the quantized numbers follow as `integer_0,…`.
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function writeOutputs(
  file: string,
  values: Float32Array,
  outputs: number,
  tensor: Tensor,
  integers: boolean,
): Promise<void> {
  const rows = values.length / outputs;
  const columns: string[] = [];
  const data: number[][] = [];
  for (let o = 0; o < outputs; o++) {
    columns.push(`output_${o}`);
    // Nine digits are the float32 again.
    data.push(Array.from({ length: rows }, (_, row) => Number(values[row * outputs + o]!.toPrecision(9))));
  }
  const { scale: [scale] = [], zeroPoint: [zero] = [] } = tensor.quantization ?? {};
  if (integers && tensor.type !== 'float32' && scale !== undefined && zero !== undefined)
    for (let o = 0; o < outputs; o++) {
      columns.push(`integer_${o}`);
      data.push(
        Array.from({ length: rows }, (_, row) => Math.round(values[row * outputs + o]! / scale) + zero),
      );
    }
  await writeFileAtomic(file, writeCsv(columns, data));
}
