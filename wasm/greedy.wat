;; Needs 64 MiB of memory to start.
(module
  (memory (export "memory") 1024)
  (func (export "_start")))
