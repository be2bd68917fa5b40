/*
 * pcap, all words in the byte order of the magic number:
 *
 *   file header   0 magic  4 major(16) 6 minor(16)  8 zone  12 sigfigs  16 snap length  20 link type
 *   record        0 seconds  4 fraction  8 captured length  12 original length  16 data
 */

export const PCAP_MAGIC_US = 0xa1b2c3d4;
export const PCAP_MAGIC_NS = 0xa1b23c4d;
/** A patched libpcap of 1999 with longer record headers. */
export const PCAP_MAGIC_MODIFIED = 0xa1b2cd34;
export const PCAP_MAJOR = 2;
export const PCAP_MINOR = 4;
export const PCAP_HEADER_BYTES = 24;
export const PCAP_RECORD_BYTES = 16;
/** The link type word's other bits tell about frame check sequences. */
export const PCAP_LINK_TYPE_MASK = 0xffff;
