UPDATE customers SET given_name = NULL, family_name = NULL WHERE given_name IS NOT NULL;
