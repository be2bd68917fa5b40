/*
 * The page allocator's words in the arena, from `layout.allocatorAt` on. Everything that must outlive a thread is here.
 *
 *  + 64 * node  lists of a node, see buddy.ts; FREE_PAGES is the second word of each
 *  + 2          ALERT_BELOW, see watermarks.ts
 *  + 512        LOCK: what follows and all lists of blocks change only under it, once the host is shared
 *  + 528        ROUND: grows when memory is at its high mark again
 *  + 529        marks: min, low, high, limit
 *  + 544        LISTS: word offset of each worker's list of single pages, 0 = none
 *  + 576        MOVING: block that each worker moves while it has the lock, order << MOVING_SHIFT | index, see buddy.ts
 */
export const NODE_WORDS = 64;
export const FREE_PAGES = 1;
export const ALERT_BELOW = 2;
export const LOCK = 512;
export const ROUND = 528;
export const MARKS = 529;
export const LISTS = 544;
export const MOVING = 576;
export const MOVING_SHIFT = 20;
