// Environments and how many services each has.
MATCH (s:Service)
RETURN s.environment AS environment, count(*) AS services
ORDER BY environment
