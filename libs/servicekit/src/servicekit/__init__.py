"""The chassis every Pismo service stands on. It knows how a service runs, not what any service is for."""
