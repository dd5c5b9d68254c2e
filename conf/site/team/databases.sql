-- what docker-compose.yaml's PostgreSQL makes when its volume is empty
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
CREATE DATABASE optuna;
