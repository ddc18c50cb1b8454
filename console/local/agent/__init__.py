"""The local CodeDeploy agent."""
