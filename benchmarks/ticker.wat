;; Prints the clock, in nanoseconds since 1970, as one line every 20 ms, 200 times.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; 0: the time  8: iovec  16: bytes written  64: the line, filled from its end (byte 95)
  ;; 128: a subscription (48 bytes)  192: an event (32 bytes)  232: how many events
  (func (export "_start") (local $left i32) (local $time i64) (local $at i32)
    (i32.store8 (i32.const 95) (i32.const 10))
    ;; subscription: tag 0 (clock) at +8, clock 1 (monotonic) at +16, timeout at +24
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (i64.const 20000000))
    (local.set $left (i32.const 200))
    (loop $tick
      (drop (call $poll (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 232)))
      (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 0)))
      (local.set $time (i64.load (i32.const 0)))
      (local.set $at (i32.const 95))
      (loop $digit
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (i32.store8 (local.get $at)
          (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $time) (i64.const 10)))))
        (local.set $time (i64.div_u (local.get $time) (i64.const 10)))
        (br_if $digit (i64.ne (local.get $time) (i64.const 0))))
      (i32.store (i32.const 8) (local.get $at))
      (i32.store (i32.const 12) (i32.sub (i32.const 96) (local.get $at)))
      (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $tick (local.get $left)))))
