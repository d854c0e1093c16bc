/** What is printed on the label of one device; nothing of it is secret. */
export interface LabelDevice {
  name: string;
  id: string;
  type: string;
  /** Lower case with colons; null = not known. */
  mac: string | null;
  /** The guide's decimal chip id. */
  chipId: string | null;
  /** SHA-256 of the certificate's DER, 64 hex digits: its beginning is printed. */
  fingerprint: string;
}

export type LabelFormat = 'svg' | 'pdf';
