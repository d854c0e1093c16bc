import { AiotCommand } from '../../lib/cli/command.js';
import { burdenFlags } from '../../lib/cli/flags/boards.js';
import { burdenText } from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import { burdenOf, burdenSchema, parseClamp } from '../../lib/sensor/burden.js';

export default class ToolsBurdenResistor extends AiotCommand {
  static override summary = 'Compute the burden resistor and bias for a current clamp.';
  static override description =
    'For a clamp with a current output, such as an SCT-013-000. A clamp marked with a voltage has a built-in burden resistor and is rejected. The result is rounded down to a standard resistor, because a larger one would clip the highest peaks. Solder the resistor before you close the clamp around a conductor. For the circuit, run aiot docs hardware.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --clamp 100A:50mA --volts 3.3',
    '<%= config.bin %> <%= command.id %> --clamp 100A:50mA --nominal 30A --range 0.15-2.45 --json',
  ];
  static override flags = burdenFlags;
  static override result = burdenSchema;

  async run() {
    const { flags } = await this.input(ToolsBurdenResistor);
    const burden = burdenOf({
      clamp: parseClamp(flags.clamp, flags.turns),
      nominalAmperes: flags.nominal,
      volts: flags.volts,
      range: flags.range,
      bits: flags['adc-bits'],
    });
    this.print(burdenText(burden));
    this.print(
      `\nIn aiot.yaml: firmware: { clamp: { turns: ${burden.clamp.turns}, burden: ${burden.ohms} } }`,
    );
    this.suggest(next('aiot firmware build --target esp32'));
    return burden;
  }
}
