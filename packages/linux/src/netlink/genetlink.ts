/*
 * Generic netlink: families are known by name, and their numbers differ from boot to boot.
 *
 *   genlmsghdr   0 command (u8), 1 version (u8), 2 reserved (u16)         4 bytes, then attributes
 */
import { type NetlinkAttr, NetlinkWriter, readAttributes } from "../netlink-attributes.ts";
import { NETLINK_GENERIC, NetlinkSocket, NLM_F_DUMP } from "../netlink-socket.ts";
import type { System } from "../system.ts";

const HEADER_BYTES = 4;
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

export interface GenetlinkRequest {
  readonly family: string;
  /** Command number, and its name for errors. */
  readonly command: number;
  readonly name: string;
  readonly version?: number;
  /** All objects instead of one. */
  readonly dump?: boolean;
  /** Writes the request's attributes. */
  readonly write?: (writer: NetlinkWriter) => void;
}

/** A generic netlink socket of the network namespace that the thread is in when it is opened. Control path. */
export class Genetlink {
  private readonly socket: NetlinkSocket;
  private readonly families = new Map<string, number>();

  /** @throws {@link SystemCallError} */
  constructor(system: System) {
    this.socket = new NetlinkSocket(system, NETLINK_GENERIC);
  }

  /**
   * The attributes of every message that the kernel answers.
   * @throws {@link SystemCallError}: ENOENT for a family or an object that does not exist, EOPNOTSUPP for a command that
   * the kernel does not have
   */
  request(request: GenetlinkRequest): NetlinkAttr[][] {
    const family = this.families.get(request.family) ?? this.findFamily(request.family);
    return this.send(family, request);
  }

  close(): void {
    this.socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private findFamily(name: string): number {
    const [answer = []] = this.send(GENL_ID_CTRL, {
      family: "nlctrl",
      command: CTRL_CMD_GETFAMILY,
      name: `CTRL_CMD_GETFAMILY ${name}`,
      write: (writer) => writer.string(CTRL_ATTR_FAMILY_NAME, name),
    });
    const id = answer.find(({ type }) => type === CTRL_ATTR_FAMILY_ID)?.asU16() ?? 0;
    this.families.set(name, id);
    return id;
  }

  private send(family: number, { command, name, version = 1, dump = false, write }: GenetlinkRequest): NetlinkAttr[][] {
    const writer = new NetlinkWriter().raw(Uint8Array.of(command, version, 0, 0));
    write?.(writer);
    const answers = this.socket.request(name, family, dump ? NLM_F_DUMP : 0, writer.finish());
    return answers.map(({ payload }) => readAttributes(payload, HEADER_BYTES));
  }
}
