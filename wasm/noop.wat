;; Does nothing: what a job costs without its work.
(module
  (memory (export "memory") 1)
  (func (export "_start")))
