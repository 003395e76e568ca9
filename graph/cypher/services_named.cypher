// Which of these services ($keys) there are.
MATCH (s:Service)
WHERE s.key IN $keys
RETURN s.key AS key
