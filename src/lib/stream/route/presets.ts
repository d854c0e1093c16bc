/** Names that `preset:` takes. */
export const presetNames = ['openmqttgateway'] as const;
export type PresetName = (typeof presetNames)[number];
