/** Telnet commands (RFC 854) that follow an IAC. */
export const telnet = {
  SE: 0xf0,
  SB: 0xfa,
  WILL: 0xfb,
  WONT: 0xfc,
  DO: 0xfd,
  DONT: 0xfe,
  IAC: 0xff,
} as const;

/** Telnet options that a serial line over a socket needs (RFC 856, 857, 858 and 2217). */
export const option = { BINARY: 0, ECHO: 1, SUPPRESS_GO_AHEAD: 3, COM_PORT: 44 } as const;

/** Commands of the COM port option as a client sends them; the server's answer is the same number plus 100 (RFC 2217, 3). */
export const command = {
  SIGNATURE: 0,
  SET_BAUDRATE: 1,
  SET_DATASIZE: 2,
  SET_PARITY: 3,
  SET_STOPSIZE: 4,
  SET_CONTROL: 5,
  NOTIFY_LINESTATE: 6,
  NOTIFY_MODEMSTATE: 7,
  FLOWCONTROL_SUSPEND: 8,
  FLOWCONTROL_RESUME: 9,
  SET_LINESTATE_MASK: 10,
  SET_MODEMSTATE_MASK: 11,
  PURGE_DATA: 12,
} as const;

export const answerOffset = 100;

/** Values of SET_CONTROL (RFC 2217, 3). */
export const control = {
  ASK_FLOW: 0,
  FLOW_NONE: 1,
  ASK_BREAK: 4,
  BREAK_OFF: 6,
  ASK_DTR: 7,
  DTR_ON: 8,
  DTR_OFF: 9,
  ASK_RTS: 10,
  RTS_ON: 11,
  RTS_OFF: 12,
  ASK_FLOW_IN: 13,
  FLOW_IN_NONE: 14,
  FLOW_IN_HARDWARE: 16,
} as const;

/** The one format of a line here: eight data bits, no parity, one stop bit, as RFC 2217 numbers them. */
export const format = {
  [command.SET_DATASIZE]: 8,
  [command.SET_PARITY]: 1,
  [command.SET_STOPSIZE]: 1,
} as const;
